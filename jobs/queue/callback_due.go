package queue

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"coatcheck/jobs/store"
)

// announce notifies the dispatcher of a delivery that is due at a time. A nil dispatcher, in a
// process without workers, ignores it.
func (d *dispatcher) announce(to destination, at time.Time) {
	if d == nil {
		return
	}
	d.mu.Lock()
	if at.After(time.Now()) {
		d.next = earlier(d.next, at)
	} else if len(d.due) < maxDue {
		d.due[to] = true
	}
	d.mu.Unlock()
	d.wakeUp()
}

// cacheState caches the new state of a destination.
func (d *dispatcher) cacheState(to destination, s destinationState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states[to] = s
}

// A claimRequest is the maximum number of deliveries to claim for a destination.
type claimRequest struct {
	to    destination
	most  int
	state destinationState
}

func (a *claimRequest) epoch() epoch { return epoch{a.to, a.state.trips} }

// requestClaims acquires permits for due destinations, starting with those that have the fewest.
func (d *dispatcher) requestClaims(ctx context.Context) (requests []claimRequest, err error) {
	if !d.limiter.available() {
		return nil, nil // releasing a permit wakes the dispatcher
	}
	waiting := d.waiting()
	for _, to := range waiting {
		s, err := d.state(ctx, to)
		if err != nil {
			return nil, d.releasePermits(requests, err)
		}
		if s.heldUntil.After(time.Now()) {
			d.clearDue(to) // a scan finds the destination after its hold
			continue
		}
		n := d.limiter.acquire(epoch{to, s.trips}, max(1, s.allowed), len(waiting)) // after a hold, a single attempt probes
		if n == 0 {
			continue
		}
		d.clearDue(to)
		if requests = append(requests, claimRequest{to, n, s}); len(requests) == maxClaimed {
			break
		}
	}
	return requests, nil
}

func (d *dispatcher) releasePermits(requests []claimRequest, err error) error {
	for _, a := range requests {
		d.limiter.release(a.epoch(), a.most)
		d.markDue(a.to)
	}
	return err
}

// markDue marks a destination as having more due deliveries.
func (d *dispatcher) markDue(to destination) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due[to] = true
}

// waiting returns the destinations that may have due deliveries, sorted by their number of attempts
// in progress, in random order among equals.
func (d *dispatcher) waiting() []destination {
	type waits struct {
		to    destination
		inUse int
		luck  uint32
	}
	d.mu.Lock()
	all := make([]waits, 0, len(d.due))
	for to := range d.due {
		all = append(all, waits{to: to, luck: rand.Uint32()}) //nolint:gosec // only spreads load, not security-sensitive
	}
	d.mu.Unlock()
	for i := range all {
		all[i].inUse = d.limiter.inUse(all[i].to)
	}
	slices.SortFunc(all,
		func(a, b waits) int { return cmp.Or(cmp.Compare(a.inUse, b.inUse), cmp.Compare(a.luck, b.luck)) })
	destinations := make([]destination, len(all))
	for i, w := range all {
		destinations[i] = w.to
	}
	return destinations
}

// clearDue marks a destination as having no due deliveries. A later announcement marks it as due
// again.
func (d *dispatcher) clearDue(to destination) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.due, to)
}

// state returns the state of a destination. A cached state is at most as old as the previous scan.
func (d *dispatcher) state(ctx context.Context, to destination) (destinationState, error) {
	d.mu.Lock()
	s, ok := d.states[to]
	if !ok {
		s, ok = d.before[to]
	}
	d.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := d.queue.destination(ctx, d.queue.db.Keyed, to, "")
	if err == nil {
		d.cacheState(to, s)
	}
	return s, err
}

const (
	// scanInterval is the longest interval between two scans. Scans find the deliveries of other
	// processes, and those to retry.
	scanInterval = 250 * time.Millisecond
	// minScanInterval is the shortest interval.
	minScanInterval = 20 * time.Millisecond
	// maxScan is the maximum number of destinations per scan. The next scan resumes after them,
	// pageInterval later.
	maxScan      = 1000
	pageInterval = 100 * time.Millisecond
)

const (
	unclaimed = `SELECT n.id FROM deliveries n WHERE n.status = 'pending' AND n.claimed_by IS NULL`
	nextDue   = `COALESCE((` + unclaimed + ` AND n.owner = %[1]s AND n.origin > %[2]s ORDER BY n.origin, n.tried, n.next_attempt_at LIMIT 1),
		(` + unclaimed + ` AND n.owner > %[1]s ORDER BY n.owner, n.origin, n.tried, n.next_attempt_at LIMIT 1))`
)

// scanDue finds the first delivery of each destination after owner $1 and origin $2.
var scanDue = `WITH RECURSIVE firsts(id) AS (SELECT ` + fmt.Sprintf(nextDue, "$1", "$2") + `
		UNION ALL SELECT ` + fmt.Sprintf(nextDue, "d.owner", "d.origin") + ` FROM firsts JOIN deliveries d ON d.id = firsts.id)
	SELECT d.owner, d.origin, d.next_attempt_at, s.owner IS NOT NULL, COALESCE(s.failures, 0), COALESCE(s.trips, 0), COALESCE(s.allowed, $3), s.held_until
	FROM firsts JOIN deliveries d ON d.id = firsts.id LEFT JOIN destinations s ON s.owner = d.owner AND s.origin = d.origin LIMIT $4`

// scan finds destinations with due deliveries. It takes one index lookup per destination, however
// many deliveries are pending.
func (d *dispatcher) scan(ctx context.Context) error {
	began := time.Now()
	rows, err := d.queue.db.Keyed.QueryContext(ctx, scanDue, d.cursor.owner, d.cursor.origin, maxPerDestination,
		maxScan)
	if err != nil {
		return fmt.Errorf("find due callbacks: %w", err)
	}
	defer rows.Close()
	var found []scanned
	for rows.Next() {
		var f scanned
		var held *store.Time
		if err := rows.Scan(&f.to.owner, &f.to.origin, &f.at, &f.state.stored, &f.state.failures, &f.state.trips,
			&f.state.allowed, &held); err != nil {
			return fmt.Errorf("find due callbacks: %w", err)
		}
		if held != nil {
			f.state.heldUntil = *held
		}
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find due callbacks: %w", err)
	}
	d.note(found, time.Since(began))
	return nil
}

// A scanned is a destination that a scan found.
type scanned struct {
	to    destination
	at    store.Time // when its first delivery is due
	state destinationState
}

// note stores the result of a scan.
func (d *dispatcher) note(found []scanned, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.scanned, d.took, d.next = now, took, now.Add(scanInterval)
	if d.cursor == (destination{}) || len(d.states) > maxDue {
		d.before, d.states = d.states, make(map[destination]destinationState, len(found))
	}
	d.cursor = destination{}
	if len(found) == maxScan {
		d.cursor, d.next = found[len(found)-1].to, now.Add(pageInterval)
	}
	for _, f := range found {
		d.states[f.to] = f.state
		switch at := later(f.at, f.state.heldUntil.Time); {
		case at.After(now):
			d.next = earlier(d.next, at.Time)
		case len(d.due) < maxDue:
			d.due[f.to] = true
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
