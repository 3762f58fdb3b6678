package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// hold keeps everybody else from changing jobs until it is let go.
func hold(t *testing.T, db *store.DB) (letGo func()) {
	t.Helper()
	tx, err := db.Write.BeginTx(t.Context(), nil) // on SQLite, this is the lock
	if err != nil {
		t.Fatal(err)
	}
	if db.Postgres() {
		if _, err := tx.ExecContext(t.Context(), `LOCK TABLE jobs IN SHARE MODE`); err != nil {
			t.Fatal(err)
		}
	}
	letGo = func() { _ = tx.Rollback() } // PostgreSQL may have ended it: it was idle
	t.Cleanup(letGo)
	return letGo
}

// A change that is committed after its caller has left is told to viewers all
// the same, and what it erases is erased.
func TestEventIsPublishedAfterCallerDisconnects(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, events := newQueue(t, db, newServices(), nil)
		later := submit(t, q, jobs.Submission{Service: "double", RunAt: time.Now().Add(time.Hour)})
		done := finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		events.ended(t, done.ID)
		letGo := hold(t, db)
		for _, change := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := q.Cancel(ctx, later.ID, ""); return err },
			func(ctx context.Context) error { return q.Delete(ctx, done.ID, false) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := change(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want that the time is over", err)
			}
			cancel()
		}
		letGo()
		if got := events.ended(t, later.ID); len(got) != 1 {
			t.Errorf("events %v", got)
		}
		await(t, "erasing", func() bool { return len(events.of(done.ID)) == 0 })
	})
}

// A job that is deleted leaves nothing behind: no events, and no copies in the
// test receiver, which keeps those of others.
func TestDeleteErasesAllData(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		keys := jobstest.Keys(t, db)
		q, events := newQueue(t, db, newServices(), func(c *queue.Config) {
			guard, err := notify.NewGuard(notify.GuardConfig{})
			if err != nil {
				t.Fatal(err)
			}
			c.Sender = notify.NewSender(notify.SenderConfig{Guard: guard, Timeout: 5 * time.Second, Local: receivers.New(db, keys)})
			t.Cleanup(c.Sender.Close)
		})
		if err := q.Receivers.Create(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		mine := func() receivers.Receiver {
			t.Helper()
			r, err := q.Receivers.Mine(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		var ids []string
		for range 2 {
			job := submit(t, q, jobs.Submission{Owner: "alice", Service: "double", CallbackURL: mine().URL, CallbackEvents: []string{"job.started", "job.succeeded"}})
			events.ended(t, job.ID)
			ids = append(ids, job.ID)
		}
		await(t, "callbacks", func() bool { return len(mine().Received) == 4 })
		await(t, "deletion", func() bool { return q.Delete(t.Context(), ids[0], false) == nil }) // when the last callback is written down
		if n := len(mine().Received); n != 2 {
			t.Errorf("%d copies are left, want those of the other job", n)
		}
		if n := len(events.of(ids[0])); n != 0 || len(events.of(ids[1])) == 0 {
			t.Errorf("%d events are left", n)
		}
	})
}
