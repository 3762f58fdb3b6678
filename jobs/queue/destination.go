package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

const (
	// maxFailures is the number of consecutive failures that put a destination on hold: for
	// Config.CallbackHold at first, and for at most maxHolds times as long.
	maxFailures = 5
	maxHolds    = 20
	// probeTime is how long other processes wait for the outcome of a probe.
	probeTime = 30 * time.Second
	// destinationAge is how long the state of a destination is kept after its last update.
	destinationAge = 24 * time.Hour
)

// A destination is an owner and an origin that deliveries go to.
type destination struct{ owner, origin string }

// destinationState is a row of the table destinations.
type destinationState struct {
	failures, trips, allowed int
	heldUntil                store.Time
	stored                   bool // whether the table has a row
}

// claimProbe claims the probe of a destination whose hold is over. It reports false if another
// process claimed it first.
func (q *Queue) claimProbe(ctx context.Context, to destination, s destinationState) (bool, error) {
	n, err := store.Affected(q.db.Write.ExecContext(ctx, `UPDATE destinations SET held_until = $1 WHERE owner = $2 AND origin = $3 AND held_until = $4 AND allowed = 0`,
		store.At(time.Now().Add(probeTime)), to.owner, to.origin, s.heldUntil))
	if err != nil {
		return false, fmt.Errorf("claim probe: %w", err)
	}
	return n == 1, nil
}

// rowQuerier is a database or a transaction.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// destination reads the state of a destination.
func (q *Queue) destination(
	ctx context.Context, db rowQuerier, to destination, lock string,
) (s destinationState, err error) {
	s.stored = true
	err = db.QueryRowContext(ctx,
		`SELECT failures, trips, allowed, held_until FROM destinations WHERE owner = $1 AND origin = $2`+lock,
		to.owner, to.origin).
		Scan(&s.failures, &s.trips, &s.allowed, &s.heldUntil)
	if errors.Is(err, sql.ErrNoRows) {
		return destinationState{allowed: maxPerDestination}, nil
	}
	if err != nil {
		return s, fmt.Errorf("read destination: %w", err)
	}
	return s, nil
}

// updateDestination updates the state of a destination after an attempt. stored reports whether the
// destination had a row before. A healthy destination has none.
func (q *Queue) updateDestination(ctx context.Context, to destination, stored, probe bool, result notify.Result) error {
	healthy := result.Class != notify.Retry && result.Class != notify.Throttled && result.StatusCode != 0
	if healthy && !stored {
		return nil
	}
	var s destinationState
	err := q.committer.commit(ctx, &change{names: []string{"destination " + to.owner + " " + to.origin}, apply: func(_ context.Context, b *batch) error {
		// This runs after the job rows are locked, because all processes must lock in the same
		// order.
		b.lastWrites = append(b.lastWrites, func(ctx context.Context) (err error) {
			s, err = q.updateDestinationIn(ctx, b.tx, to, probe, healthy, result)
			return err
		})
		return nil
	}})
	if err == nil {
		q.dispatcher.cacheState(to, s)
	}
	return err
}

func (q *Queue) updateDestinationIn(
	ctx context.Context, tx store.Tx, to destination, probe, healthy bool, result notify.Result,
) (s destinationState, err error) {
	if s, err = q.destination(ctx, tx, to, q.db.ForUpdate()); err != nil {
		return s, err
	}
	s = s.after(probe, healthy, result, time.Now(), q.CallbackHold)
	if s.stored = s.allowed < maxPerDestination || s.failures > 0 || !s.heldUntil.IsZero(); !s.stored {
		_, err = tx.ExecContext(ctx, `DELETE FROM destinations WHERE owner = $1 AND origin = $2`, to.owner, to.origin)
	} else {
		_, err = tx.ExecContext(ctx, `INSERT INTO destinations (owner, origin, failures, trips, allowed, held_until, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (owner, origin) DO UPDATE SET failures = $3, trips = $4, allowed = $5, held_until = $6, updated_at = $7`,
			to.owner, to.origin, s.failures, s.trips, s.allowed, s.heldUntil, store.At(time.Now()))
	}
	if err != nil {
		return s, fmt.Errorf("write destination: %w", err)
	}
	return s, nil
}

// after returns the state after an attempt; least is the shortest hold.
func (s destinationState) after(
	probe, healthy bool, result notify.Result, now time.Time, least time.Duration,
) destinationState {
	switch {
	case healthy && s.allowed == 0 && !probe:
		// The attempt started before the hold; only the probe counts.
	case healthy:
		// After a hold, each success doubles the number of allowed attempts.
		s.failures, s.heldUntil = 0, store.Time{}
		if s.allowed = max(1, 2*s.allowed); s.allowed >= maxPerDestination {
			s.trips, s.allowed = 0, maxPerDestination
		}
	case result.Class == notify.Throttled:
		s.heldUntil = later(s.heldUntil, now.Add(max(result.RetryAfter, time.Second)))
		if probe {
			s.allowed = 1 // the receiver responds
		}
	case result.Class == notify.Retry && s.allowed == 0 && !probe:
	case result.Class == notify.Retry:
		if s.failures++; probe || s.failures >= maxFailures {
			hold := least * time.Duration(min(1<<min(s.trips, 10), maxHolds))
			s.failures, s.allowed, s.trips = 0, 0, s.trips+1
			s.heldUntil = store.At(now.Add(hold + rand.N(hold/5))) //nolint:gosec // only spreads load, not security-sensitive
		}
	case probe: // inconclusive: allow another probe now
		s.heldUntil = store.At(now)
	}
	return s
}

func later(a store.Time, b time.Time) store.Time {
	if a.After(b) {
		return a
	}
	return store.At(b)
}

// deleteExpired deletes old destination states, and old finished deliveries that belong to no job.
func (q *Queue) deleteExpired(ctx context.Context) error {
	old := store.At(time.Now().Add(-destinationAge))
	for _, stmt := range []string{
		`DELETE FROM destinations WHERE updated_at < $1`,
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE job_id = '' AND status <> 'pending' AND created_at < $1)`,
		`DELETE FROM deliveries WHERE job_id = '' AND status <> 'pending' AND created_at < $1`,
	} {
		if _, err := q.db.Write.ExecContext(ctx, stmt, old); err != nil {
			return fmt.Errorf("forget receivers: %w", err)
		}
	}
	return nil
}
