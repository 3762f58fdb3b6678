package queue_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// BenchmarkSubmit is how fast 64 callers get their jobs on disk.
func BenchmarkSubmit(b *testing.B) {
	jobstest.EachDatabase(b, func(b *testing.B, db *store.DB) {
		q, _ := newQueue(b, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		each(b, 64, func() {
			if _, _, err := q.Submit(b.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{"n":1}`)}); err != nil {
				b.Error(err)
			}
		})
	})
}

// BenchmarkDrain is how fast waiting jobs that do nothing are worked off.
func BenchmarkDrain(b *testing.B) {
	jobstest.EachDatabase(b, func(b *testing.B, db *store.DB) {
		front, _ := newQueue(b, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		each(b, 64, func() {
			if _, _, err := front.Submit(b.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{"n":1}`)}); err != nil {
				b.Error(err)
			}
		})
		b.ResetTimer()
		q, _ := newQueue(b, db, newServices(), func(c *queue.Config) { c.Workers = 100 })
		for {
			depth, err := q.Depth(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if depth[jobs.Queued]+depth[jobs.Running] == 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// each calls fn b.N times from n goroutines.
func each(b *testing.B, n int, fn func()) {
	b.Helper()
	todo := make(chan struct{}, b.N)
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	b.ResetTimer()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for range todo {
				fn()
			}
		})
	}
	wg.Wait()
}
