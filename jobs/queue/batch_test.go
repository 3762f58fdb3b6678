package queue_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// The end of a run is written although its row is not as the run knows it, in
// a batch with others whose rows are.
func TestRunsEndWithStaleCachedRows(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, nil)
		var ids []string
		for range 6 {
			ids = append(ids, submit(t, q, jobs.Submission{Service: "hold"}).ID)
			<-services.started
		}
		for _, id := range ids[:2] {
			if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET version = version + 5 WHERE id = $1`, id); err != nil {
				t.Fatal(err)
			}
		}
		letGo := hold(t, db)
		close(services.hold)
		letGo()
		for i, id := range ids {
			job := finished(t, q, id)
			want := "3-0"
			if i < 2 {
				want = "8-0"
			}
			if job.Status != jobs.Succeeded || job.LastEventID != want || job.Attempt != 1 {
				t.Errorf("job %d %s, newest event %s, attempt %d, want %s", i, job.Status, job.LastEventID, job.Attempt, want)
			}
		}
	})
}

// A batch has submissions of all kinds, and each gets its own answer: some have
// the same idempotency key, one has it for another request.
func TestBatchCommitsManySubmissions(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		type answer struct {
			job      jobs.Job
			replayed bool
			err      error
		}
		const n = 60
		answers := make([]answer, n)
		letGo := hold(t, db)
		var wg sync.WaitGroup
		for i := range n {
			s := jobs.Submission{Owner: "alice", Service: "double", Input: []byte(fmt.Sprintf(`{"n":%d}`, i)), BaseURL: "https://api.example"}
			switch i % 6 {
			case 0:
				s.IdempotencyKey, s.Fingerprint = "twins", "f"
			case 1:
				s.IdempotencyKey, s.Fingerprint = fmt.Sprintf("key %d", i), "f"
			case 2:
				s.Tags = []string{"a", fmt.Sprintf("tag-%d", i), "a"}
			case 3:
				s.CallbackURL = "https://callbacks.example/"
			case 4:
				s.Owner, s.IdempotencyKey, s.Fingerprint = "bob", "twins", "f"
			}
			wg.Go(func() {
				a := &answers[i]
				a.job, a.replayed, a.err = q.Submit(t.Context(), s)
			})
		}
		letGo()
		wg.Wait()
		fresh := make(map[int]int)
		ids := make(map[string]bool)
		for i, a := range answers {
			if a.err != nil {
				t.Fatalf("submission %d: %v", i, a.err)
			}
			ids[a.job.ID] = true
			if !a.replayed {
				fresh[i%6]++
			}
			if job := finished(t, q, a.job.ID); job.Status != jobs.Succeeded || i%6 != 0 && i%6 != 4 && string(job.Output) != fmt.Sprintf(`{"n":%d}`, 2*i) {
				t.Errorf("job %d %s with %s", i, job.Status, job.Output)
			}
		}
		if fresh[0] != 1 || fresh[4] != 1 || len(ids) != 4*n/6+2 {
			t.Errorf("new jobs by kind %v, %d in all", fresh, len(ids))
		}
		list, err := q.List(t.Context(), queue.Filter{Tag: "a", Limit: n})
		if err != nil || len(list) != n/6 {
			t.Errorf("%d jobs with the tag, %v", len(list), err)
		}
		_, _, err = q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: []byte(`{"n":1}`), IdempotencyKey: "twins", Fingerprint: "another"})
		if !errors.Is(err, jobs.ErrKeyReused) {
			t.Errorf("got %v, want %v", err, jobs.ErrKeyReused)
		}
	})
}
