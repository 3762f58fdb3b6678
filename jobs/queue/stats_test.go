package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

func TestStats(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers = 1 })
		finished(t, q, submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n": 1}`)}).ID)
		finished(t, q, submit(t, q, jobs.Submission{Service: "permanent"}).ID)
		submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		// It was handed in before the one that waits, and could run only later.
		delayed := submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(300 * time.Millisecond)})
		waiting := submit(t, q, jobs.Submission{Service: "double"})
		await(t, "the delayed job", func() bool {
			job, err := q.Get(t.Context(), delayed.ID)
			return err == nil && job.Status == jobs.Queued
		})
		submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(time.Hour)})
		s, err := q.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Depth[jobs.Queued] != 2 || s.Depth[jobs.Running] != 1 || s.Depth[jobs.Scheduled] != 1 || s.Oldest == nil || !s.Oldest.Equal(waiting.CreatedAt.Time) {
			t.Errorf("depth %v, oldest %v", s.Depth, s.Oldest)
		}
		var succeeded, failed int64
		for _, m := range s.Minutes {
			succeeded, failed = succeeded+m.Succeeded, failed+m.Failed
		}
		if succeeded != 1 || failed != 1 || len(s.Minutes) != 60 {
			t.Errorf("%d succeeded and %d failed in %d minutes", succeeded, failed, len(s.Minutes))
		}
		if len(s.Services) != 2 || s.Services[0].Service != "double" || s.Services[0].Jobs != 1 || s.Services[0].Wait[0] < 0 || s.Services[0].Run[2] < s.Services[0].Run[0] {
			t.Errorf("services %+v", s.Services)
		}
		if len(s.Workers) != 1 || s.Workers[0].Running != 1 || s.Workers[0].Concurrency != 1 || s.Workers[0].Stale {
			t.Errorf("workers %+v", s.Workers)
		}
		if want := map[bool]string{true: "PostgreSQL", false: "SQLite"}[db.Postgres()]; s.Database.Kind != want || s.Database.Version == "" || s.Database.Bytes == 0 {
			t.Errorf("database %+v", s.Database)
		}
	})
}

// The history tells of every attempt, whatever came of it.
func TestHistory(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, nil)
		tests := []struct {
			name   string
			submit jobs.Submission
			want   []jobs.Status
			steps  []int
		}{
			{"retried", jobs.Submission{Service: "flaky", Input: json.RawMessage(`{"n":3}`)}, []jobs.Status{jobs.Retrying, jobs.Retrying, jobs.Succeeded}, []int{1, 1, 1}},
			{"chain", jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":3}`), Then: []jobs.NextStep{{Service: "permanent", Input: json.RawMessage(`{}`)}}}, []jobs.Status{jobs.Succeeded, jobs.Failed}, []int{1, 2}},
		}
		for _, tt := range tests {
			job := finished(t, q, submit(t, q, tt.submit).ID)
			if len(job.History) != len(tt.want) {
				t.Fatalf("%s: %+v", tt.name, job.History)
			}
			for i, a := range job.History {
				failed := a.Status == jobs.Retrying || a.Status == jobs.Failed
				if a.Status != tt.want[i] || a.Step != tt.steps[i] || a.FinishedAt == nil || a.WorkerID == "" || (a.Error != nil) != failed {
					t.Errorf("%s: attempt %d is %+v, want %s at step %d", tt.name, i, a, tt.want[i], tt.steps[i])
				}
			}
		}
		job := submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		if job, _ := q.Get(t.Context(), job.ID); len(job.History) != 1 || job.History[0].FinishedAt != nil || job.History[0].Status != jobs.Running {
			t.Errorf("running: %+v", job.History)
		}
		if _, err := q.Cancel(t.Context(), job.ID, ""); err != nil {
			t.Fatal(err)
		}
		if job := finished(t, q, job.ID); job.History[0].Status != jobs.Canceled {
			t.Errorf("canceled: %+v", job.History)
		}
	})
}

func TestBulk(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		for range 130 {
			submit(t, q, jobs.Submission{Service: "double", Tags: []string{"many"}})
		}
		other := submit(t, q, jobs.Submission{Service: "double"})
		bobs := submit(t, q, jobs.Submission{Service: "double", Owner: "bob", Tags: []string{"many"}})
		f := queue.Filter{Owner: "alice", Tag: "many"}
		if n, err := q.CountCancelable(t.Context(), f); n != 130 || err != nil {
			t.Errorf("counted %d, %v", n, err)
		}
		if n, err := q.CancelAll(t.Context(), f, "enough"); n != 130 || err != nil {
			t.Errorf("canceled %d, %v", n, err)
		}
		if n, err := q.CancelAll(t.Context(), f, "enough"); n != 0 || err != nil {
			t.Errorf("canceled %d once more, %v", n, err)
		}
		for _, id := range []string{other.ID, bobs.ID} {
			if job, err := q.Get(t.Context(), id); err != nil || job.Status != jobs.Queued {
				t.Errorf("%s is %s, %v", id, job.Status, err)
			}
		}
		if n, err := q.CountRetryable(t.Context(), queue.Filter{Owner: "alice", Statuses: []jobs.Status{jobs.Succeeded}}); n != 0 || err != nil {
			t.Errorf("counted %d that can be retried, %v", n, err)
		}
		if n, err := q.RetryAll(t.Context(), f, "", func(string) bool { return true }); n != 130 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		if n, err := q.CountCancelable(t.Context(), f); n != 130 || err != nil {
			t.Errorf("%d wait again, %v", n, err)
		}
		if n, err := q.RetryAll(t.Context(), f, "", func(string) bool { return true }); n != 0 || err != nil {
			t.Errorf("retried %d twice, %v", n, err)
		}
	})
}
