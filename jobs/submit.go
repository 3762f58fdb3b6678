package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Submit makes a job of s. When it returns, the job is on disk. With an
// idempotency key that was used before, it returns the first job and replayed
// is true. Errors: [ErrUnknownService], [ErrKeyReused], [ErrQueueFull], and
// joined [FieldError]s.
func (q *Queue) Submit(ctx context.Context, s Submission) (job Job, replayed bool, err error) {
	if err := s.complete(q.Services, q.MaxTimeout, q.Retain); err != nil {
		return Job{}, false, err
	}
	if err := q.admit(s.Owner); err != nil {
		return Job{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	fresh, err := q.newJob(&s)
	if err != nil {
		return Job{}, false, err
	}
	err = q.committer.commit(ctx, fresh.ID, func(ctx context.Context, tx *sql.Tx) error {
		j := fresh
		if s.IdempotencyKey != "" {
			first, err := claimKey(ctx, tx, &s, &j)
			if err != nil {
				return err
			}
			if first != j.ID {
				replayed = true
				job, err = q.lockJob(ctx, tx, first)
				job.leaveOutLarge()
				return err
			}
		}
		replayed = false
		if j.Status == Queued {
			t := &transition{q: q, tx: tx}
			if err := t.enqueue(ctx, &j); err != nil {
				return err
			}
		}
		job = j
		return insertJob(ctx, tx, &j)
	})
	if err != nil {
		return Job{}, false, err
	}
	if !replayed {
		q.admitted(s.Owner)
	}
	return job, replayed, nil
}

// newJob returns the job that s asks for, not written yet.
func (q *Queue) newJob(s *Submission) (Job, error) {
	id, err := newID("job_")
	if err != nil {
		return Job{}, err
	}
	now := At(time.Now())
	j := Job{
		ID: id, Token: Optional(q.Keys.token(id)), Service: s.Service, Status: Queued, CreatedAt: now, MaxAttempts: s.MaxAttempts, Step: 1, Steps: 1 + len(s.Then),
		Chain: []Step{{Service: s.Service, Input: s.Input}}, Input: s.Input, Priority: s.Priority, Tags: append([]string{}, s.Tags...), Metadata: s.Metadata,
		Owner: s.Owner, BaseURL: s.BaseURL, RetryOf: Optional(s.RetryOf), version: 1, timeout: Duration(s.Timeout), retain: Duration(s.Retain),
	}
	for _, step := range s.Then {
		j.Chain = append(j.Chain, Step{Service: step.Service, Input: step.Input})
	}
	if s.Delay > 0 {
		s.RunAt = now.Add(s.Delay)
	}
	if s.RunAt.After(now.Time) {
		at := At(s.RunAt)
		j.Status, j.RunAt = Scheduled, &at
	}
	if s.StartWithin > 0 {
		at := At(now.Add(s.StartWithin))
		j.ExpiresAt = &at
	}
	if s.CallbackURL != "" {
		j.callback = callbackRequest{url: s.CallbackURL, events: s.CallbackEvents, state: s.CallbackState}
		j.Callback = &Callback{URL: s.CallbackURL, Status: "pending"}
	}
	j.refresh()
	return j, nil
}

// claimKey takes the idempotency key for the job, or returns the id of the
// job that has it.
func claimKey(ctx context.Context, tx *sql.Tx, s *Submission, j *Job) (id string, err error) {
	caller := cmp.Or(s.Caller, s.Owner)
	// Whoever comes second waits here until the first has committed.
	res, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (owner, service, key, fingerprint, job_id, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		caller, s.Service, s.IdempotencyKey, s.Fingerprint, j.ID, j.CreatedAt)
	if err != nil {
		return "", fmt.Errorf("claim idempotency key: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return j.ID, err
	}
	var fingerprint string
	err = tx.QueryRowContext(ctx, `SELECT job_id, fingerprint FROM idempotency_keys WHERE owner = $1 AND service = $2 AND key = $3`,
		caller, s.Service, s.IdempotencyKey).Scan(&id, &fingerprint)
	if errors.Is(err, sql.ErrNoRows) {
		return "", errors.New("idempotency key vanished") // removed in between: try again
	}
	if err != nil {
		return "", fmt.Errorf("read idempotency key: %w", err)
	}
	if fingerprint != s.Fingerprint {
		return "", refuse(ErrKeyReused)
	}
	return id, nil
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID returns prefix and 26 characters that sort by the time they were made
// (UUIDv7, RFC 9562, in Crockford's base 32).
func newID(prefix string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return prefix + idEncoding.EncodeToString(id[:]), nil
}

// validID reports whether id has the form that newID makes.
func validID(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	_, err := idEncoding.DecodeString(rest)
	return ok && len(rest) == 26 && err == nil
}
