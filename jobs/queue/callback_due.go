package queue

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"
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
