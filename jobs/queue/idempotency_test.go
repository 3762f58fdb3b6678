package queue_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// A key is taken as long as the record of its job, and a day longer.
func TestIdempotencyKeyOutlivesJobRecord(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.Write.ExecContext(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		again := func(key string) (jobs.Job, bool, error) {
			return q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{}`), IdempotencyKey: key, Fingerprint: "f"})
		}
		removed := submit(t, q, jobs.Submission{Service: "double", Retain: time.Millisecond, IdempotencyKey: "removed", Fingerprint: "f"})
		await(t, "removal", func() bool { _, err := q.Get(t.Context(), removed.ID); return errors.Is(err, jobs.ErrRemoved) })
		deleted := submit(t, q, jobs.Submission{Service: "double", IdempotencyKey: "deleted", Fingerprint: "f"})
		finished(t, q, deleted.ID)
		if err := q.Delete(t.Context(), deleted.ID, false); err != nil {
			t.Fatal(err)
		}
		kept := submit(t, q, jobs.Submission{Service: "double", Retain: 72 * time.Hour, IdempotencyKey: "kept", Fingerprint: "f"})
		exec(`UPDATE idempotency_keys SET created_at = $1`, store.At(time.Now().Add(-25*time.Hour)))
		exec(`INSERT INTO idempotency_keys (owner, service, key, fingerprint, job_id, created_at, forget_at) VALUES ('alice', 'double', 'due', 'f', 'job', 1, 1)`)
		await(t, "housekeeping", func() bool {
			var n int
			err := db.Write.QueryRowContext(t.Context(), `SELECT count(*) FROM idempotency_keys WHERE key = 'due'`).Scan(&n)
			return err == nil && n == 0
		})
		for _, key := range []string{"removed", "deleted"} {
			if job, _, err := again(key); !errors.Is(err, jobs.ErrRemoved) {
				t.Errorf("%s: job %s, %v, want %v", key, job.ID, err, jobs.ErrRemoved)
			}
		}
		if job, replayed, err := again("kept"); err != nil || !replayed || job.ID != kept.ID {
			t.Errorf("kept: job %s, replayed %v, %v", job.ID, replayed, err)
		}
		exec(`UPDATE idempotency_keys SET forget_at = forget_at - $1`, (25 * time.Hour).Milliseconds())
		for _, key := range []string{"removed", "deleted"} {
			await(t, "forgetting", func() bool { _, replayed, err := again(key); return err == nil && !replayed })
		}
		if job, replayed, err := again("kept"); err != nil || !replayed || job.ID != kept.ID {
			t.Errorf("kept, a day later: job %s, replayed %v, %v", job.ID, replayed, err)
		}
	})
}

// A repetition is answered although no more jobs are taken.
func TestIdempotentReplayWhenQueueIsFull(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers, c.MaxQueued = 0, 1 })
		s := jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{}`), IdempotencyKey: "k", Fingerprint: "f"}
		first, _, err := q.Submit(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if job, replayed, err := q.Submit(t.Context(), s); err != nil || !replayed || job.ID != first.ID {
			t.Errorf("job %s, replayed %v, %v", job.ID, replayed, err)
		}
		s.Fingerprint = "g"
		if _, _, err := q.Submit(t.Context(), s); !errors.Is(err, jobs.ErrKeyReused) {
			t.Errorf("another request: %v, want %v", err, jobs.ErrKeyReused)
		}
		s.IdempotencyKey = "another"
		if _, _, err := q.Submit(t.Context(), s); !errors.Is(err, queue.ErrQueueFull) {
			t.Errorf("another key: %v, want %v", err, queue.ErrQueueFull)
		}
	})
}
