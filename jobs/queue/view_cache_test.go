package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// Who asks again gets what another process has changed meanwhile, and what was
// rendered before only as long as nothing has changed.
func TestViewCache(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		worker, _ := newQueue(t, db, services, nil)
		front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		ids := make([]string, 50)
		for i := range ids {
			ids[i] = submit(t, front, jobs.Submission{Service: "report", CallbackURL: "https://callbacks.example/"}).ID
		}
		renders := 0
		render := func(j *jobs.Job) ([]byte, error) {
			renders++
			return json.Marshal(j)
		}
		rendered := func(id string) (jobs.Job, string) {
			t.Helper()
			job, err := front.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			b, err := job.Rendered("form", render)
			if err != nil {
				t.Fatal(err)
			}
			return job, string(b)
		}
		eventually(t, front, ids[0], "progress", func(j jobs.Job) bool { return j.Progress.Percent == 40 })
		job, first := rendered(ids[0])
		before := renders
		if _, second := rendered(ids[0]); second != first || renders != before {
			t.Errorf("rendered %d times more, %s, want %s", renders-before, second, first)
		}
		if b, err := job.Rendered("another form", func(*jobs.Job) ([]byte, error) { return []byte("x"), nil }); err != nil || string(b) != "x" {
			t.Errorf("another form: %s, %v", b, err)
		}
		failed := errors.New("failed")
		if _, err := job.Rendered("third form", func(*jobs.Job) ([]byte, error) { return nil, failed }); !errors.Is(err, failed) {
			t.Errorf("got %v, want %v", err, failed)
		}
		close(services.hold)
		var wg sync.WaitGroup
		for i, id := range ids { // many at once, and some that there are not
			wg.Go(func() {
				if job := finished(t, front, id); string(job.Output) != `"done"` || job.Callback == nil {
					t.Errorf("job %d: output %s, callback %v", i, job.Output, job.Callback)
				}
			})
			wg.Go(func() {
				if _, err := front.Get(t.Context(), fmt.Sprintf("job_01jdc4w0z7q9aaaaaaaaaaaa%02d", i)); !errors.Is(err, jobs.ErrNotFound) {
					t.Errorf("a job that there is not: %v", err)
				}
			})
		}
		wg.Wait()
		if job, last := rendered(ids[0]); last == first || job.Status != jobs.Succeeded {
			t.Errorf("at the end: %s", last)
		}
		one, _ := rendered(ids[1])
		two, _ := rendered(ids[1])
		if a, b := append(one.Output, 'a'), append(two.Output, 'b'); string(a) != `"done"a` || string(b) != `"done"b` { //nolint:gocritic // that is what must do no harm
			t.Errorf("%s and %s share memory", a, b)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := front.Get(ctx, ids[0]); db.Postgres() && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if err := worker.Delete(t.Context(), ids[0], true); err != nil {
			t.Fatal(err)
		}
		if _, err := front.Get(t.Context(), ids[0]); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("a job that was deleted: %v", err)
		}
	})
}
