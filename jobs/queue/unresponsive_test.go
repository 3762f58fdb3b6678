package queue_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// addUnresponsive adds a service that does not listen to its context.
func addUnresponsive(s *testServices) {
	jobs.Add(&s.Registry, jobs.Service{Name: "unresponsive"}, func(ctx context.Context, _ struct{}) (string, error) {
		s.started <- "unresponsive"
		<-s.hold
		jobs.Progress(ctx, 99, "too late")
		return "too late", nil
	})
}

// A run that does not stop is left behind: its job ends all the same, and
// another job takes its slot.
func TestUnresponsiveRunIsAbandoned(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, q *queue.Queue, id string)
		s    jobs.Submission
		want jobs.Error
	}{
		{
			"canceled", func(t *testing.T, q *queue.Queue, id string) {
				for range 2 { // as often as one likes
					if job, err := q.Cancel(t.Context(), id, "enough"); err != nil || !job.CancelRequested {
						t.Errorf("cancel: %v, requested %v", err, job.CancelRequested)
					}
				}
			},
			jobs.Submission{Service: "unresponsive"},
			jobs.Error{Code: "canceled", Message: "enough; the service did not stop and was left behind", Attempt: 1},
		},
		{
			"timed out", func(*testing.T, *queue.Queue, string) {},
			jobs.Submission{Service: "unresponsive", Timeout: time.Second, MaxAttempts: 1},
			jobs.Error{Code: "timeout", Message: "the attempt took longer than 1s; the service did not stop and was left behind", Attempt: 1},
		},
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				services := newServices()
				addUnresponsive(services)
				q, events := newQueue(t, db, services, func(c *queue.Config) { c.Workers, c.CancelGrace = 1, 200*time.Millisecond })
				stuck := submit(t, q, tt.s)
				<-services.started
				next := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":1}`)})
				tt.end(t, q, stuck.ID)
				stuck = finished(t, q, stuck.ID)
				if stuck.Error == nil || *stuck.Error != tt.want {
					t.Errorf("got %s, %+v, want %+v", stuck.Status, stuck.Error, tt.want)
				}
				if next = finished(t, q, next.ID); next.Status != jobs.Succeeded {
					t.Errorf("the next job: %s", next.Status)
				}
				if n := q.Counters(); n.Abandoned != 1 || n.Unresponsive != 1 {
					t.Errorf("got %+v, want one left behind", n)
				}
				await(t, "a warning", func() bool { return check(q, "runs").Status == queue.Warning })
				close(services.hold)
				await(t, "no warning", func() bool { return q.Counters().Unresponsive == 0 && check(q, "runs").Status == queue.OK })
				if got, _ := q.Get(t.Context(), stuck.ID); got.LastEventID != stuck.LastEventID || got.Output != nil {
					t.Errorf("what the service said too late was heard: %s, %s", got.LastEventID, got.Output)
				}
				if got := events.ended(t, stuck.ID); len(got) != int(stuck.EventID().Version)-1 {
					t.Errorf("events %v, want one for each change", got)
				}
			})
		}
	})
}

// No more runs are left behind than there are slots.
func TestAbandonedRunsAreLimitedToSlots(t *testing.T) {
	services := newServices()
	addUnresponsive(services)
	q, _ := newQueue(t, jobstest.SQLite(t), services, func(c *queue.Config) { c.Workers, c.CancelGrace = 1, 50*time.Millisecond })
	for range 2 {
		job := submit(t, q, jobs.Submission{Service: "unresponsive"})
		<-services.started
		if _, err := q.Cancel(t.Context(), job.ID, ""); err != nil {
			t.Fatal(err)
		}
		finished(t, q, job.ID) // its caller need not wait
	}
	next := submit(t, q, jobs.Submission{Service: "double"})
	await(t, "two that are left behind", func() bool { return q.Counters().Unresponsive == 2 })
	if job, err := q.Get(t.Context(), next.ID); err != nil || job.Status != jobs.Queued {
		t.Errorf("a third slot was found: %s, %v", job.Status, err)
	}
	close(services.hold)
	finished(t, q, next.ID)
}

// check returns a check of the queue's.
func check(q *queue.Queue, name string) queue.Check {
	for _, c := range q.Health() {
		if c.Name == name {
			return c
		}
	}
	return queue.Check{}
}

// await waits until something happens.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}
