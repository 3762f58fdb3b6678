package queue_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
)

// Processes that erase jobs, send their callbacks again and cancel others never
// wait for each other in a circle.
func TestNoDeadlocks(t *testing.T) {
	t.Parallel()
	url := jobstest.PostgresURL(t)
	db := jobstest.Open(t, url)
	one, _ := newQueue(t, db, newServices(), nil)
	two, _ := newQueue(t, jobstest.Open(t, url), newServices(), nil)
	const n = 120
	var wg sync.WaitGroup
	start := make(chan struct{})
	begin := func(do func() error, expected ...error) {
		wg.Go(func() {
			<-start
			err := do()
			for _, e := range expected {
				if errors.Is(err, e) {
					return
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		job := submit(t, one, jobs.Submission{Service: "double", CallbackURL: "https://callbacks.example/", CallbackEvents: []string{"job.started", "job.succeeded"}})
		finished(t, one, job.ID)
		deliveries, err := one.Deliveries(t.Context(), queue.DeliveryFilter{JobID: job.ID, Limit: 10})
		if err != nil || len(deliveries) != 2 {
			t.Fatalf("%d deliveries, %v", len(deliveries), err)
		}
		later := submit(t, one, jobs.Submission{Service: "double", RunAt: time.Now().Add(time.Hour)})
		begin(func() error { return two.Delete(t.Context(), job.ID, true) })
		for _, d := range deliveries {
			begin(func() error { _, err := one.Redeliver(t.Context(), d.ID); return err }, queue.ErrNoDelivery)
		}
		begin(func() error { _, err := one.Cancel(t.Context(), later.ID, ""); return err })
		begin(func() error { _, err := two.Cancel(t.Context(), later.ID, ""); return err })
	}
	close(start)
	wg.Wait()
	var deadlocks int
	await(t, "statistics", func() bool {
		err := db.Write.QueryRowContext(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND xact_commit > $1`, n).Scan(&deadlocks)
		return err == nil
	})
	if deadlocks > 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
}
