package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

func TestCancelWaitingJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, events := newQueue(t, db, newServices(), nil)
		job := submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(time.Hour)})
		if job.Status != jobs.Scheduled || job.RunAt == nil {
			t.Errorf("submitted: %s at %v", job.Status, job.RunAt)
		}
		job, err := q.Cancel(t.Context(), job.ID, "changed my mind")
		if err != nil || job.Status != jobs.Canceled || job.Error == nil || job.Error.Message != "changed my mind" {
			t.Errorf("got %s, error %+v, %v", job.Status, job.Error, err)
		}
		if again, err := q.Cancel(t.Context(), job.ID, "twice"); err != nil || again.Status != jobs.Canceled || again.LastEventID != job.LastEventID || again.Error.Message != "changed my mind" {
			t.Errorf("second cancel: got %+v, %v", again, err)
		}
		done := finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		if _, err := q.Cancel(t.Context(), done.ID, ""); !errors.Is(err, jobs.ErrFinished) {
			t.Errorf("cancel of what ended otherwise: got %v, want %v", err, jobs.ErrFinished)
		}
		if got := events.of(job.ID); len(got) != 1 || got[0].Name != "end" {
			t.Errorf("events %v, want one end", got)
		}
	})
}

func TestCancelRunningJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, events := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		for range 2 { // canceling is idempotent
			got, err := q.Cancel(t.Context(), job.ID, "too slow")
			if err != nil || !got.CancelRequested || got.EventID().Version != 3 && !got.Done {
				t.Fatalf("got cancel requested %v at event %s, %v", got.CancelRequested, got.LastEventID, err)
			}
		}
		job = finished(t, q, job.ID)
		if job.Status != jobs.Canceled || job.Error.Code != "canceled" || job.Error.Message != "too slow" {
			t.Errorf("got %s, error %+v", job.Status, job.Error)
		}
		if got := events.ended(t, job.ID); len(got) != 3 || got[1].ID.Version != 3 || !strings.Contains(string(got[1].Data), `"cancel_requested":true`) || got[2].Name != "end" {
			t.Errorf("events %v, want status, status and end", got)
		}
	})
}

// A run that has lost its job is stopped, and whatever it returns is dropped.
func TestRunIsFencedAfterLosingJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, events := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "report"})
		<-services.started
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET run_id = 'another', version = version + 1 WHERE id = $1`, job.ID); err != nil {
			t.Fatal(err)
		}
		// The service returns when its context is canceled, which the next
		// saving of reports does.
		close(services.hold)
		if err := q.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := q.Get(t.Context(), job.ID)
		if err != nil || got.Status != jobs.Running || got.Output != nil {
			t.Errorf("got %s, output %s, %v, want it untouched", got.Status, got.Output, err)
		}
		for _, e := range events.of(job.ID) {
			if e.Name == "end" {
				t.Error("the run that lost its job published its end")
			}
		}
	})
}

func TestRunStopsWhenItLostItsJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		stopped := make(chan error, 1)
		jobs.Add(&services.Registry, jobs.Service{Name: "watch"}, func(ctx context.Context, _ struct{}) (string, error) {
			services.started <- "watch"
			for {
				select {
				case <-ctx.Done():
					stopped <- context.Cause(ctx)
					return "", ctx.Err()
				case <-time.After(10 * time.Millisecond):
					jobs.Progress(ctx, 1, "still here")
				}
			}
		})
		q, _ := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "watch"})
		<-services.started
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET run_id = 'another', version = version + 1 WHERE id = $1`, job.ID); err != nil {
			t.Fatal(err)
		}
		if err := <-stopped; err == nil || !strings.Contains(err.Error(), "lost its job") {
			t.Errorf("stopped by %v", err)
		}
	})
}

// A job that is running when the process stops goes back unharmed, and runs
// again elsewhere.
func TestStopRequeuesRunningJobs(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		first, _ := newQueue(t, db, services, nil)
		job := submit(t, first, jobs.Submission{Service: "hold", MaxAttempts: 1})
		<-services.started
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		job, err := first.Get(t.Context(), job.ID)
		if err != nil || job.Status != jobs.Queued || job.Attempt != 0 {
			t.Errorf("after the stop: %s, attempt %d, %v", job.Status, job.Attempt, err)
		}
		second, _ := newQueue(t, db, services, nil)
		<-services.started
		close(services.hold)
		if job = finished(t, second, job.ID); job.Status != jobs.Succeeded || job.Attempt != 1 {
			t.Errorf("got %s after attempt %d", job.Status, job.Attempt)
		}
	})
}

// A finished job can be run again, whatever became of it; what became of it
// stays.
func TestRetry(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		submission := jobs.Submission{
			Owner: "alice", Service: "flaky", Input: json.RawMessage(`{"n":2}`), MaxAttempts: 1, Priority: 3, Tags: []string{"web"}, Metadata: json.RawMessage(`{"order":1}`),
			RunAt: time.Now().Add(50 * time.Millisecond), StartWithin: time.Hour, Then: []jobs.NextStep{{Service: "double", Input: json.RawMessage(`{"n":1}`)}},
		}
		old := finished(t, q, submit(t, q, submission).ID)
		if old.Status != jobs.Failed {
			t.Fatalf("got %s", old.Status)
		}
		retry := func() (jobs.Job, bool, error) {
			s, err := old.Again("https://jobs.example", "once")
			if err != nil {
				return jobs.Job{}, false, err
			}
			return q.Submit(t.Context(), s)
		}
		job, _, err := retry()
		if err != nil || job.Status != jobs.Queued || string(job.RetryOf) != old.ID || job.ID == old.ID {
			t.Fatalf("got %s, retry of %q, %v", job.Status, job.RetryOf, err)
		}
		if job.Owner != "alice" || job.Priority != 3 || job.MaxAttempts != 1 || !slices.Equal(job.Tags, old.Tags) || string(job.Metadata) != `{"order":1}` || job.Steps != 2 || string(job.Input) != `{"n":2}` ||
			job.ExpiresAt.Sub(job.CreatedAt.Time) != time.Hour || job.BaseURL != "https://jobs.example" {
			t.Errorf("other options than before: %+v", job)
		}
		if job = finished(t, q, job.ID); job.Attempt != 1 || string(job.RetryOf) != old.ID {
			t.Errorf("got %s after attempt %d, retry of %q", job.Status, job.Attempt, job.RetryOf)
		}
		if again, err := q.Get(t.Context(), old.ID); err != nil || again.Status != jobs.Failed || again.LastEventID != old.LastEventID {
			t.Errorf("the old job became %s, %v", again.Status, err)
		}
		waiting := submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(time.Hour)})
		if again, replayed, err := retry(); again.ID != job.ID || !replayed || err != nil {
			t.Errorf("the same retry made %s of %s, %v", again.ID, job.ID, err)
		}
		if _, err := waiting.Again("", ""); !errors.Is(err, jobs.ErrNotFinished) {
			t.Errorf("got %v, want %v", err, jobs.ErrNotFinished)
		}
	})
}

func TestScheduleAndExpire(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers = 1 })
		later := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":1}`), RunAt: time.Now().Add(500 * time.Millisecond)})
		later = finished(t, q, later.ID)
		if later.StartedAt.Before(later.RunAt.Time) {
			t.Errorf("started at %v, before %v", later.StartedAt, later.RunAt)
		}
		submit(t, q, jobs.Submission{Service: "hold"}) // keeps the only worker
		<-services.started
		expiring := submit(t, q, jobs.Submission{Service: "double", StartWithin: 100 * time.Millisecond})
		due := submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(100 * time.Millisecond)})
		if job := finished(t, q, expiring.ID); job.Status != jobs.Expired || job.Error.Code != "expired" {
			t.Errorf("got %s, %+v", job.Status, job.Error)
		}
		eventually(t, q, due.ID, "queued although no worker is free", func(j jobs.Job) bool { return j.Status == jobs.Queued })
		close(services.hold)
		finished(t, q, due.ID)
	})
}

func TestRetain(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		short := submit(t, q, jobs.Submission{Service: "double", Retain: time.Millisecond, Tags: []string{"a"}, IdempotencyKey: "k"})
		long := finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		for deadline := time.Now().Add(patience); ; {
			if _, err := q.Get(t.Context(), short.ID); errors.Is(err, jobs.ErrRemoved) {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("got %v, want %v", err, jobs.ErrRemoved)
			}
		}
		if _, err := q.Get(t.Context(), long.ID); err != nil {
			t.Errorf("the other job: %v", err)
		}
		if err := q.Delete(t.Context(), long.ID, false); err != nil {
			t.Error(err)
		}
		if _, err := q.Get(t.Context(), long.ID); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("deleted: got %v, want %v", err, jobs.ErrNotFound)
		}
		for _, table := range []string{"jobs", "job_tags"} {
			var n int
			if err := db.Write.QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s has %d rows left, %v", table, n, err)
			}
		}
	})
}

func TestDeleteOnlyFinishedJobs(t *testing.T) {
	q, _ := newQueue(t, jobstest.SQLite(t), newServices(), func(c *queue.Config) { c.Workers = 0 })
	job := submit(t, q, jobs.Submission{Service: "double"})
	if err := q.Delete(t.Context(), job.ID, true); !errors.Is(err, jobs.ErrNotFinished) {
		t.Errorf("got %v, want %v", err, jobs.ErrNotFinished)
	}
	for _, id := range []string{"", "job_", "job_01jdc4w0z7q9aaaaaaaaaaaaaa", "job_\x00", strings.Repeat("x", 1000)} {
		if _, err := q.Get(t.Context(), id); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("get %.20q: got %v, want %v", id, err, jobs.ErrNotFound)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q1, _ := newQueue(t, db, newServices(), nil)
		q2, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		s := jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{"n":1}`), IdempotencyKey: "key", Fingerprint: "f"}
		ids := make(map[string]int)
		fresh := 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				job, replayed, err := []*queue.Queue{q1, q2}[i%2].Submit(t.Context(), s)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[job.ID]++
				if !replayed {
					fresh++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || fresh != 1 {
			t.Errorf("%d jobs, %d fresh, want one", len(ids), fresh)
		}
		s.Fingerprint = "g"
		if _, _, err := q1.Submit(t.Context(), s); !errors.Is(err, jobs.ErrKeyReused) {
			t.Errorf("got %v, want %v", err, jobs.ErrKeyReused)
		}
		s.Owner = "bob"
		if job, replayed, err := q1.Submit(t.Context(), s); err != nil || replayed || ids[job.ID] != 0 {
			t.Errorf("another owner: %s, replayed %v, %v", job.ID, replayed, err)
		}
	})
}

func TestList(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		var ids []string
		for i := range 6 {
			s := jobs.Submission{Service: "double", Owner: []string{"alice", "bob"}[i%2]}
			if i == 4 {
				s.Service, s.Tags = "hold", []string{"web", "web"}
			}
			ids = append(ids, submit(t, q, s).ID)
		}
		if _, err := q.Cancel(t.Context(), ids[2], ""); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			name   string
			filter queue.Filter
			want   []int
		}{
			{"all", queue.Filter{}, []int{5, 4, 3, 2, 1, 0}},
			{"owner", queue.Filter{Owner: "alice"}, []int{4, 2, 0}},
			{"service", queue.Filter{Service: "hold"}, []int{4}},
			{"statuses", queue.Filter{Statuses: []jobs.Status{jobs.Canceled, jobs.Failed}}, []int{2}},
			{"tag", queue.Filter{Tag: "web"}, []int{4}},
			{"tag of another", queue.Filter{Tag: "web", Owner: "bob"}, nil},
			{"before", queue.Filter{Owner: "bob", Before: ids[3]}, []int{1}},
			{"limit", queue.Filter{Limit: 2}, []int{5, 4}},
			{"created before", queue.Filter{CreatedBefore: time.Now().Add(-time.Hour)}, nil},
			{"created after", queue.Filter{CreatedAfter: time.Now().Add(-time.Hour), Owner: "bob"}, []int{5, 3, 1}},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if tt.filter.Limit == 0 {
					tt.filter.Limit = 50
				}
				list, err := q.List(t.Context(), tt.filter)
				if err != nil {
					t.Fatal(err)
				}
				var got []int
				for _, job := range list {
					for i, id := range ids {
						if id == job.ID {
							got = append(got, i)
						}
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		}
		depth, err := q.Depth(t.Context())
		if err != nil || depth[jobs.Queued] != 5 || depth[jobs.Running] != 0 {
			t.Errorf("depth %v, %v", depth, err)
		}
	})
}

func TestTokens(t *testing.T) {
	db := jobstest.SQLite(t)
	q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
	job := submit(t, q, jobs.Submission{Service: "double"})
	if id, ok := q.Keys.VerifyToken(string(job.Token)); !ok || id != job.ID {
		t.Errorf("got %s, %v", id, ok)
	}
	last := string(job.Token)[len(string(job.Token))-1]
	for _, token := range []string{"", job.ID, job.ID + ".", string(job.Token) + "0", string(job.Token)[:len(string(job.Token))-1] + string(rune(last^1)), strings.ToUpper(string(job.Token))} {
		if _, ok := q.Keys.VerifyToken(token); ok {
			t.Errorf("%q opens the job", token)
		}
	}
	sealed := q.Keys.Seal([]byte("cursor"))
	if data, ok := q.Keys.Open(sealed); !ok || string(data) != "cursor" {
		t.Errorf("got %q, %v", data, ok)
	}
	for _, s := range []string{"", "x", sealed + "A", "A" + sealed[1:]} {
		if _, ok := q.Keys.Open(s); ok && s != sealed {
			t.Errorf("%q was not sealed here", s)
		}
	}
	// Another process on the same database has the same key.
	again, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
	if _, ok := again.Keys.VerifyToken(string(job.Token)); !ok {
		t.Error("another process refuses the token")
	}
}
