package queue_test

import (
	"context"
	"sync/atomic"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// Jobs of a service with a concurrency of its own wait for each other, and take no slot from
// others.
func TestServiceConcurrency(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		var running, most atomic.Int64
		release := make(chan struct{})
		services := newServices()
		jobs.Add(&services.Registry, jobs.Service{Name: "limited.service", Concurrency: 2}, func(ctx context.Context, _ struct{}) (int, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return 1, nil
		})
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers = 1 })
		var limited []string
		for range 5 {
			limited = append(limited, submit(t, q, jobs.Submission{Service: "limited.service"}).ID)
		}
		jobstest.Until(t, "two limited jobs", func() bool { return running.Load() == 2 })
		finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		if n := running.Load(); n != 2 {
			t.Errorf("%d limited jobs run, want 2", n)
		}
		close(release)
		for _, id := range limited {
			finished(t, q, id)
		}
		if most.Load() != 2 {
			t.Errorf("at most %d limited jobs ran at once, want 2", most.Load())
		}
	})
}

// Jobs that wait get the limit that their service has now.
func TestServiceConcurrencyChanges(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		with := func(concurrency int) *testServices {
			s := newServices()
			jobs.Add(&s.Registry, jobs.Service{Name: "service", Concurrency: concurrency}, func(context.Context, struct{}) (int, error) { return 1, nil })
			return s
		}
		submitter, _ := newQueue(t, db, with(1), func(c *queue.Config) { c.Workers = 0 })
		job := submit(t, submitter, jobs.Submission{Service: "service"})
		worker, _ := newQueue(t, db, with(0), nil)
		if err := worker.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		finished(t, worker, job.ID)
	})
}
