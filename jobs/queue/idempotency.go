package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// errClaimed means that another job has the idempotency key.
var errClaimed = errors.New("the idempotency key belongs to a job")

// A claim claims an idempotency key for a submitted job.
type claim struct {
	owner, service, key, fingerprint string
	job                              *jobs.Job
	// Once the key is claimed, holder is the id of the job that has it, and original is the
	// fingerprint of that job's request.
	holder, original string
}

func newClaim(s *jobs.Submission, j *jobs.Job) *claim {
	return &claim{
		owner: cmp.Or(s.Caller, s.Owner), service: s.Service, key: s.IdempotencyKey, fingerprint: s.Fingerprint, job: j,
	}
}

// refused returns the reason why the job did not get the key; nil if it did, or if the submission
// has no key.
func (c *claim) refused() error {
	switch {
	case c == nil || c.holder == c.job.ID:
		return nil
	case c.original != c.fingerprint:
		return jobs.ErrKeyReused
	default:
		return errClaimed
	}
}

var claimInserter = store.NewInserter("idempotency_keys", "ON CONFLICT DO NOTHING RETURNING job_id",
	store.TextColumn("owner", func(c *claim) any { return c.owner }),
	store.TextColumn("service", func(c *claim) any { return c.service }),
	store.TextColumn("key", func(c *claim) any { return c.key }),
	store.TextColumn("fingerprint", func(c *claim) any { return c.fingerprint }),
	store.TextColumn("job_id", func(c *claim) any { return c.job.ID }),
	store.BigintColumn("created_at", func(c *claim) any { return c.job.CreatedAt }),
)

// claimKeys claims the idempotency keys of the changes. If several changes have the same key, the
// first gets it. If another transaction is claiming a key, claimKeys waits for that transaction.
// Keys are claimed in sorted order to prevent deadlocks.
func (b *batch) claimKeys(ctx context.Context, changes []*change) error {
	var claims []*claim
	for _, ch := range changes {
		if ch.claim != nil {
			claims = append(claims, ch.claim)
		}
	}
	slices.SortStableFunc(claims, func(a, b *claim) int {
		return cmp.Or(strings.Compare(a.owner, b.owner), strings.Compare(a.service, b.service),
			strings.Compare(a.key, b.key))
	})
	claimed, err := claimInserter.Returning(ctx, b.tx, claims)
	if err != nil {
		return fmt.Errorf("claim idempotency keys: %w", err)
	}
	for _, c := range claims {
		if c.holder = c.job.ID; slices.Contains(claimed, c.holder) {
			continue
		}
		if err := c.read(ctx, b.tx); err != nil { // no row: the key was deleted in between
			return err
		}
	}
	return nil
}

// read reads which job has the key. Error: [sql.ErrNoRows].
func (c *claim) read(ctx context.Context, db rowQuerier) error {
	if err := db.QueryRowContext(ctx,
		`SELECT job_id, fingerprint FROM idempotency_keys WHERE owner = $1 AND service = $2 AND key = $3`,
		c.owner, c.service, c.key).
		Scan(&c.holder, &c.original); err != nil {
		return fmt.Errorf("read idempotency key: %w", err)
	}
	return nil
}

// replay returns the job that has the key. Error: [jobs.ErrRemoved].
func (q *Queue) replay(ctx context.Context, c *claim) (job jobs.Job, replayed bool, err error) {
	job, err = q.Get(ctx, c.holder)
	if errors.Is(err, jobs.ErrNotFound) { // the job was erased
		err = jobs.ErrRemoved
	}
	if err != nil {
		return jobs.Job{}, false, err
	}
	return job, true, nil
}

// replayFull returns the job that has the key when no new jobs are accepted. If there is none, it
// returns the error full.
func (q *Queue) replayFull(ctx context.Context, c *claim, full error) (job jobs.Job, replayed bool, err error) {
	err = c.read(ctx, q.db.Read)
	if errors.Is(err, sql.ErrNoRows) {
		return jobs.Job{}, false, full
	}
	if err == nil {
		err = c.refused()
	}
	if errors.Is(err, errClaimed) {
		return q.replay(ctx, c)
	}
	return jobs.Job{}, false, err
}
