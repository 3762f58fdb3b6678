package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"coatcheck/notify"
)

const (
	// maxUnderWay is how many attempts at deliveries to one destination are
	// under way at once in this process.
	maxUnderWay = 16
	// maxOfOrigin is the same for all owners of callbacks to one origin.
	maxOfOrigin = 64
	// maxFailures is how many failures in a row hold a destination back, for
	// Config.CallbackHold at first and maxHolds times that at most.
	maxFailures = 5
	maxHolds    = 20
	// probeTime is how long others wait for the outcome of a probe.
	probeTime = 30 * time.Second
	// destinationAge is how long a destination is remembered.
	destinationAge = 24 * time.Hour
	// maxSpread bounds how far deliveries that were put off are spread.
	maxSpread = time.Minute
)

// A destination is a receiver, for one owner.
type destination struct{ owner, origin string }

// A pass allows one attempt.
type pass struct {
	to    destination
	state destinationState
	probe bool // the one attempt that a destination held back gets
}

// destinationState is a row of the table destinations.
type destinationState struct {
	failures, trips, allowed int
	heldUntil                Time
	known                    bool // there is a row
}

// enter returns a pass, or how long the delivery must wait for another try,
// which is no attempt. A pass must be given back by leave.
func (q *Queue) enter(ctx context.Context, to destination) (p *pass, wait time.Duration, err error) {
	s, err := q.destination(ctx, q.db.read, to, "")
	if err != nil {
		return nil, 0, err
	}
	now := time.Now()
	if hold := s.heldUntil.Sub(now); s.known && hold > 0 {
		return nil, hold + q.gates.spread(to), nil
	}
	p = &pass{to: to, state: s}
	if s.allowed == 0 {
		// One process gets to probe: the one that moves the hold.
		res, err := q.db.write.ExecContext(ctx, `UPDATE destinations SET held_until = $1 WHERE owner = $2 AND origin = $3 AND held_until = $4 AND allowed = 0`,
			At(now.Add(probeTime)), to.owner, to.origin, s.heldUntil)
		if err != nil {
			return nil, 0, fmt.Errorf("claim probe: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return nil, time.Second + q.gates.spread(to), err
		}
		p.probe = true
	}
	if !q.gates.take(to, max(1, min(s.allowed, maxUnderWay))) {
		return nil, 100*time.Millisecond + q.gates.spread(to), nil
	}
	return p, 0, nil
}

// leave gives a pass back.
func (q *Queue) leave(p *pass) { q.gates.give(p.to) }

// rower is a database or a transaction.
type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// destination reads what is known of a receiver.
func (q *Queue) destination(ctx context.Context, db rower, to destination, lock string) (s destinationState, err error) {
	s.known = true
	err = db.QueryRowContext(ctx, `SELECT failures, trips, allowed, held_until FROM destinations WHERE owner = $1 AND origin = $2`+lock, to.owner, to.origin).
		Scan(&s.failures, &s.trips, &s.allowed, &s.heldUntil)
	if errors.Is(err, sql.ErrNoRows) {
		return destinationState{allowed: maxUnderWay}, nil
	}
	if err != nil {
		return s, fmt.Errorf("read destination: %w", err)
	}
	return s, nil
}

// learn writes down what an attempt says of its receiver.
func (q *Queue) learn(ctx context.Context, p *pass, result notify.Result) error {
	healthy := result.Class != notify.Retry && result.Class != notify.Throttled && result.StatusCode != 0
	if healthy {
		q.gates.forget(p.to)
		if !p.state.known {
			return nil
		}
	}
	return q.committer.commit(ctx, &change{names: []string{"destination " + p.to.owner + " " + p.to.origin}, apply: func(ctx context.Context, b *batch) error {
		tx := b.tx
		s, err := q.destination(ctx, tx, p.to, q.db.forUpdate())
		if err != nil {
			return err
		}
		s = s.after(p.probe, healthy, result, time.Now(), q.CallbackHold)
		if s.allowed >= maxUnderWay && s.failures == 0 && s.heldUntil.IsZero() {
			_, err = tx.ExecContext(ctx, `DELETE FROM destinations WHERE owner = $1 AND origin = $2`, p.to.owner, p.to.origin)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO destinations (owner, origin, failures, trips, allowed, held_until, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (owner, origin) DO UPDATE SET failures = $3, trips = $4, allowed = $5, held_until = $6, updated_at = $7`,
				p.to.owner, p.to.origin, s.failures, s.trips, s.allowed, s.heldUntil, At(time.Now()))
		}
		if err != nil {
			return fmt.Errorf("write destination: %w", err)
		}
		return nil
	}})
}

// after returns what is known after an attempt; least is the shortest hold.
func (s destinationState) after(probe, healthy bool, result notify.Result, now time.Time, least time.Duration) destinationState {
	switch {
	case healthy && s.allowed == 0 && !probe:
		// An attempt from before the hold; the probe will tell.
	case healthy:
		// After a hold, twice as many attempts with each that goes well.
		s.failures, s.heldUntil = 0, Time{}
		if s.allowed = max(1, 2*s.allowed); s.allowed >= maxUnderWay {
			s.trips, s.allowed = 0, maxUnderWay
		}
	case result.Class == notify.Throttled:
		s.heldUntil = later(s.heldUntil, now.Add(max(result.RetryAfter, time.Second)))
		if probe {
			s.allowed = 1 // it answers
		}
	case result.Class == notify.Retry && s.allowed == 0 && !probe:
	case result.Class == notify.Retry:
		if s.failures++; probe || s.failures >= maxFailures {
			hold := least * time.Duration(min(1<<min(s.trips, 10), maxHolds))
			s.failures, s.allowed, s.trips = 0, 0, s.trips+1
			s.heldUntil = At(now.Add(hold + rand.N(hold/5))) //nolint:gosec // chance spreads load here, it keeps no secret
		}
	case probe: // it says nothing of the receiver: the next one may probe
		s.heldUntil = At(now)
	}
	return s
}

func later(a Time, b time.Time) Time {
	if a.After(b) {
		return a
	}
	return At(b)
}

// forget removes what was learned of receivers long ago, and old callbacks
// that belong to no job.
func (q *Queue) forget(ctx context.Context) error {
	old := At(time.Now().Add(-destinationAge))
	for _, stmt := range []string{
		`DELETE FROM destinations WHERE updated_at < $1`,
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE job_id = '' AND status <> 'pending' AND created_at < $1)`,
		`DELETE FROM deliveries WHERE job_id = '' AND status <> 'pending' AND created_at < $1`,
	} {
		if _, err := q.db.write.ExecContext(ctx, stmt, old); err != nil {
			return fmt.Errorf("forget receivers: %w", err)
		}
	}
	return nil
}
