package auth_test

import (
	"testing"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// The secret of a session is replaced as it ages, and never stored.
func TestSessions(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		sessions := auth.NewSessions(db)
		ctx := t.Context()
		secret, session, err := sessions.Begin(ctx, "alice", "password:1")
		if err != nil {
			t.Fatal(err)
		}
		if found, err := sessions.Find(ctx, secret); err != nil || found.Owner != "alice" || found.Credential != "password:1" {
			t.Errorf("got %+v, %v", found, err)
		}
		if fresh, err := sessions.Rotate(ctx, secret, session); fresh != "" || err != nil {
			t.Errorf("a new session got another secret %q, %v", fresh, err)
		}
		// A quarter of an hour later.
		if _, err := db.Write.ExecContext(ctx, `UPDATE sessions SET rotated_at = rotated_at - 900001`); err != nil {
			t.Fatal(err)
		}
		if session, err = sessions.Find(ctx, secret); err != nil {
			t.Fatal(err)
		}
		fresh, err := sessions.Rotate(ctx, secret, session)
		if fresh == "" || fresh == secret || err != nil {
			t.Fatalf("got %q, %v", fresh, err)
		}
		if again, err := sessions.Rotate(ctx, secret, session); again != "" || err != nil {
			t.Errorf("rotated twice: %q, %v", again, err)
		}
		old, err := sessions.Find(ctx, secret)
		if err != nil || time.Until(old.ExpiresAt.Time) > time.Minute {
			t.Errorf("the old secret works until %v, %v", old.ExpiresAt, err)
		}
		if found, err := sessions.Find(ctx, fresh); err != nil || !found.ExpiresAt.Equal(session.ExpiresAt.Time) {
			t.Errorf("the new one works until %v, %v", found.ExpiresAt, err)
		}
		if err := sessions.End(ctx, fresh); err != nil {
			t.Fatal(err)
		}
		if _, err := sessions.Find(ctx, fresh); err == nil {
			t.Error("a session that was ended goes on")
		}
		var leaked int
		if err := db.Write.QueryRowContext(ctx, `SELECT count(*) FROM sessions WHERE id = $1`, secret).Scan(&leaked); err != nil || leaked != 0 {
			t.Errorf("the secret stands in the table: %d, %v", leaked, err)
		}
	})
}
