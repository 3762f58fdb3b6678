package jobs

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// scanInterval is the longest time between two scans for deliveries that are
	// due: those of other processes, and those that are tried again.
	scanInterval = 250 * time.Millisecond
	// minScanInterval is the shortest.
	minScanInterval = 20 * time.Millisecond
	// maxScan is how many destinations a scan finds. The next one goes on after
	// them, pageInterval later.
	maxScan      = 1000
	pageInterval = 100 * time.Millisecond
	// maxDue is how many destinations the dispatcher remembers as due. A scan finds
	// the others later.
	maxDue = 10_000
	// maxClaimed is how many destinations get deliveries by one claim.
	maxClaimed = 100
)

// A dispatcher makes the deliveries that are due, in a process that has workers.
// It claims as many as their destinations get permits for, so that those of a
// slow receiver wait in the table and take nothing from others.
type dispatcher struct {
	queue   *Queue
	limiter *limiter
	wake    chan struct{} // has a value when there may be something to do
	ended   chan struct{} // closed when no more attempts are started

	loop, attempting         context.Context
	stopLoop, cancelAttempts context.CancelFunc
	attempts                 sync.WaitGroup

	mu      sync.Mutex
	due     map[destination]bool             // what may have deliveries to make now
	states  map[destination]destinationState // as read by this scan or since
	before  map[destination]destinationState // as read by the scan before
	scanned time.Time                        // when the last scan was
	took    time.Duration                    // how long it took
	next    time.Time                        // when to scan again
	cursor  destination                      // the last one that the scan found, if there may be more
}

func newDispatcher(q *Queue) *dispatcher {
	d := &dispatcher{
		queue: q, limiter: newLimiter(q.CallbackWorkers), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		due: make(map[destination]bool), states: make(map[destination]destinationState),
	}
	d.loop, d.stopLoop = context.WithCancel(context.Background())
	d.attempting, d.cancelAttempts = context.WithCancel(context.Background())
	return d
}

// announce tells the dispatcher of a delivery to be made at a time. A nil
// dispatcher, of a process without workers, ignores it.
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
	d.ring()
}

// ring makes the dispatcher look for deliveries.
func (d *dispatcher) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// learned notes the new state of a destination.
func (d *dispatcher) learned(to destination, s destinationState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.states[to] = s
}

// run dispatches until stop is called.
func (d *dispatcher) run() {
	ctx := d.loop
	defer close(d.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
		more := false
		err := within(ctx, roundTimeout, func(ctx context.Context) (err error) {
			more, err = d.round(ctx)
			return err
		})
		switch {
		case err == nil:
			failing = false
		case ctx.Err() != nil:
			return
		case d.queue.noteDatabase(ctx, err):
		case !failing: // logged once, not every second
			d.queue.Logger.ErrorContext(ctx, "callbacks not dispatched, will try again", "err", err)
			failing = true
		}
		if err != nil { // whoever wakes the dispatcher meanwhile waits, too
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			more = true
		}
		if more {
			d.ring()
		}
		timer.Reset(d.rest())
	}
}

// rest returns how long nothing is to be done unless the dispatcher is woken. Scans
// take at most a tenth of the time.
func (d *dispatcher) rest() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(max(minScanInterval, 10*d.took)-time.Since(d.scanned), time.Until(d.next), 0)
}

// stop starts no more attempts, gives those that are under way until StopTimeout or
// until ctx is done, and cancels the rest. They release their deliveries.
func (d *dispatcher) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.queue.StopTimeout)
	defer cancel()
	defer d.cancelAttempts()
	d.stopLoop()
	select {
	case <-d.ended:
	case <-ctx.Done():
		return
	}
	done := make(chan struct{})
	d.queue.wg.Go(func() {
		d.attempts.Wait()
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// round scans if it is time to, claims deliveries for the permits that there are, and
// starts an attempt at each. It reports whether there may be more to claim.
func (d *dispatcher) round(ctx context.Context) (more bool, err error) {
	if d.rest() == 0 {
		if err := d.scan(ctx); err != nil {
			return false, err
		}
	}
	asks, err := d.ask(ctx)
	if err != nil || len(asks) == 0 {
		return false, err
	}
	claimed, err := d.queue.claimDeliveries(ctx, asks)
	if err != nil {
		return false, d.giveBack(asks, err)
	}
	got := make(map[destination]int)
	for _, v := range claimed {
		got[destination{v.owner, v.origin}]++
	}
	states := make(map[destination]destinationState, len(asks))
	for _, a := range asks {
		states[a.to] = a.state
		d.limiter.release(a.epoch(), a.most-got[a.to])
		if got[a.to] == a.most {
			d.retain(a.to)
		}
	}
	for _, v := range claimed {
		v.state = states[destination{v.owner, v.origin}]
		d.start(v)
	}
	return true, nil
}

// start makes an attempt at a delivery that was claimed, for which a permit was
// acquired.
func (d *dispatcher) start(v *attempt) {
	d.attempts.Add(1)
	d.queue.wg.Go(func() {
		defer d.attempts.Done()
		to := destination{v.owner, v.origin}
		d.queue.attempt(d.attempting, v)
		d.limiter.release(epoch{to, v.state.trips}, 1)
		if v.event == JobProgress {
			d.announce(to, time.Time{}) // what waited for it
		}
		d.ring()
	})
}

// An ask is how many deliveries to a destination may be claimed.
type ask struct {
	to    destination
	most  int
	state destinationState
}

func (a *ask) epoch() epoch { return epoch{a.to, a.state.trips} }

// ask acquires permits for destinations that are due: first for those that have the
// fewest.
func (d *dispatcher) ask(ctx context.Context) (asks []ask, err error) {
	if !d.limiter.available() {
		return nil, nil // when one is released, the dispatcher is woken
	}
	waiting := d.waiting()
	for _, to := range waiting {
		s, err := d.state(ctx, to)
		if err != nil {
			return nil, d.giveBack(asks, err)
		}
		if s.heldUntil.After(time.Now()) {
			d.settle(to) // a scan finds it when the hold is over
			continue
		}
		n := d.limiter.acquire(epoch{to, s.trips}, max(1, s.allowed), len(waiting)) // after a hold, one attempt probes
		if n == 0 {
			continue
		}
		d.settle(to)
		if asks = append(asks, ask{to, n, s}); len(asks) == maxClaimed {
			break
		}
	}
	return asks, nil
}

func (d *dispatcher) giveBack(asks []ask, err error) error {
	for _, a := range asks {
		d.limiter.release(a.epoch(), a.most)
		d.retain(a.to)
	}
	return err
}

// retain notes that a destination still has deliveries to make.
func (d *dispatcher) retain(to destination) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due[to] = true
}

// waiting returns what may have deliveries to make, those with the fewest attempts
// under way first, and of these in a random order.
func (d *dispatcher) waiting() []destination {
	type waits struct {
		to    destination
		inUse int
		luck  uint32
	}
	d.mu.Lock()
	all := make([]waits, 0, len(d.due))
	for to := range d.due {
		all = append(all, waits{to: to, luck: rand.Uint32()}) //nolint:gosec // chance spreads load here, it keeps no secret
	}
	d.mu.Unlock()
	for i := range all {
		all[i].inUse = d.limiter.inUse(all[i].to)
	}
	slices.SortFunc(all, func(a, b waits) int { return cmp.Or(cmp.Compare(a.inUse, b.inUse), cmp.Compare(a.luck, b.luck)) })
	destinations := make([]destination, len(all))
	for i, w := range all {
		destinations[i] = w.to
	}
	return destinations
}

// settle notes that a destination has no deliveries to make now. What is announced
// later counts.
func (d *dispatcher) settle(to destination) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.due, to)
}

// state returns what is known of a destination, at most as old as the scan before the
// last one.
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
	s, err := d.queue.destination(ctx, d.queue.db.keyed, to, "")
	if err == nil {
		d.learned(to, s)
	}
	return s, err
}

const (
	unclaimed = `SELECT n.id FROM deliveries n WHERE n.status = 'pending' AND n.claimed_by IS NULL`
	nextDue   = `COALESCE((` + unclaimed + ` AND n.owner = %[1]s AND n.origin > %[2]s ORDER BY n.origin, n.tried, n.next_attempt_at LIMIT 1),
		(` + unclaimed + ` AND n.owner > %[1]s ORDER BY n.owner, n.origin, n.tried, n.next_attempt_at LIMIT 1))`
)

// scanDue finds the first delivery of each destination after the owner $1 and the
// origin $2.
var scanDue = `WITH RECURSIVE firsts(id) AS (SELECT ` + fmt.Sprintf(nextDue, "$1", "$2") + `
		UNION ALL SELECT ` + fmt.Sprintf(nextDue, "d.owner", "d.origin") + ` FROM firsts JOIN deliveries d ON d.id = firsts.id)
	SELECT d.owner, d.origin, d.next_attempt_at, s.owner IS NOT NULL, COALESCE(s.failures, 0), COALESCE(s.trips, 0), COALESCE(s.allowed, $3), s.held_until
	FROM firsts JOIN deliveries d ON d.id = firsts.id LEFT JOIN destinations s ON s.owner = d.owner AND s.origin = d.origin LIMIT $4`

// scan finds destinations with deliveries that are due, by one look into the index
// for each destination, however many deliveries wait for it.
func (d *dispatcher) scan(ctx context.Context) error {
	began := time.Now()
	rows, err := d.queue.db.keyed.QueryContext(ctx, scanDue, d.cursor.owner, d.cursor.origin, maxUnderWay, maxScan)
	if err != nil {
		return fmt.Errorf("look for due callbacks: %w", err)
	}
	defer rows.Close()
	var found []scanned
	for rows.Next() {
		var f scanned
		var held *Time
		if err := rows.Scan(&f.to.owner, &f.to.origin, &f.at, &f.state.known, &f.state.failures, &f.state.trips, &f.state.allowed, &held); err != nil {
			return fmt.Errorf("look for due callbacks: %w", err)
		}
		if held != nil {
			f.state.heldUntil = *held
		}
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for due callbacks: %w", err)
	}
	d.note(found, time.Since(began))
	return nil
}

// A scanned is a destination that a scan found.
type scanned struct {
	to    destination
	at    Time // when its first delivery is to be made
	state destinationState
}

// note remembers what a scan found.
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
