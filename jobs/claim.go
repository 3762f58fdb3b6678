package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// errClaimed means that a job has the idempotency key already.
var errClaimed = errors.New("the idempotency key belongs to a job")

// A claim takes an idempotency key for a job that is submitted.
type claim struct {
	owner, service, key, fingerprint string
	job                              *Job
	// holder is the id of the job that has the key, and original the fingerprint of
	// its request, once the key is claimed.
	holder, original string
}

func newClaim(s *Submission, j *Job) *claim {
	return &claim{owner: cmp.Or(s.Caller, s.Owner), service: s.Service, key: s.IdempotencyKey, fingerprint: s.Fingerprint, job: j}
}

// refused returns why the job can't have the key; nil if it has. A submission
// without a key claims none.
func (c *claim) refused() error {
	switch {
	case c == nil || c.holder == c.job.ID:
		return nil
	case c.original != c.fingerprint:
		return ErrKeyReused
	default:
		return errClaimed
	}
}

var claimInserter = newInserter("idempotency_keys", "ON CONFLICT DO NOTHING RETURNING job_id",
	column[*claim]{"owner", "text", func(c *claim) any { return c.owner }},
	column[*claim]{"service", "text", func(c *claim) any { return c.service }},
	column[*claim]{"key", "text", func(c *claim) any { return c.key }},
	column[*claim]{"fingerprint", "text", func(c *claim) any { return c.fingerprint }},
	column[*claim]{"job_id", "text", func(c *claim) any { return c.job.ID }},
	column[*claim]{"created_at", "bigint", func(c *claim) any { return c.job.CreatedAt }},
)

// claimKeys claims the idempotency keys of changes. Of several changes with one
// key, the first gets it. Where another transaction is about to take a key, this
// waits for its end: in the order of the keys, so that two never wait for each
// other.
func (b *batch) claimKeys(ctx context.Context, changes []*change) error {
	var claims []*claim
	for _, ch := range changes {
		if ch.claim != nil {
			claims = append(claims, ch.claim)
		}
	}
	slices.SortStableFunc(claims, func(a, b *claim) int {
		return cmp.Or(strings.Compare(a.owner, b.owner), strings.Compare(a.service, b.service), strings.Compare(a.key, b.key))
	})
	claimed, err := claimInserter.returning(ctx, b, claims)
	if err != nil {
		return fmt.Errorf("claim idempotency keys: %w", err)
	}
	for _, c := range claims {
		if c.holder = c.job.ID; slices.Contains(claimed, c.holder) {
			continue
		}
		if err := b.tx.QueryRowContext(ctx, `SELECT job_id, fingerprint FROM idempotency_keys WHERE owner = $1 AND service = $2 AND key = $3`, c.owner, c.service, c.key).
			Scan(&c.holder, &c.original); err != nil { // no row: it was removed in between
			return fmt.Errorf("read idempotency key: %w", err)
		}
	}
	return nil
}
