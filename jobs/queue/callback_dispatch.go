package queue

import (
	"context"
	"sync"
	"time"

	"coatcheck/jobs"
)

const (
	// maxDue is the maximum number of due destinations that the dispatcher keeps. A later scan
	// finds the others.
	maxDue = 10_000
	// maxClaimed is the maximum number of destinations per claim.
	maxClaimed = 100
)

// A dispatcher makes the due deliveries of a process that has workers. It claims only as many as it
// has permits for, so that the deliveries to a slow receiver wait in the table and use up nothing
// that others need.
type dispatcher struct {
	queue   *Queue
	limiter *limiter
	wake    chan struct{} // has a value when there may be something to do
	ended   chan struct{} // closed when no more attempts are started

	loop, attempting         context.Context
	stopLoop, cancelAttempts context.CancelFunc
	attempts                 sync.WaitGroup

	mu      sync.Mutex                       // guards the fields below
	due     map[destination]bool             // destinations that may have due deliveries
	states  map[destination]destinationState // as of the current scan or later
	before  map[destination]destinationState // as of the previous scan
	scanned time.Time                        // when the last scan ended
	took    time.Duration                    // how long the last scan took
	next    time.Time                        // when to scan again
	cursor  destination                      // where the next scan resumes; zero: at the beginning
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

// wakeUp wakes the dispatcher.
func (d *dispatcher) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run dispatches deliveries until stop is called.
func (d *dispatcher) run() {
	ctx := d.loop
	defer close(d.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	log := roundLog{queue: d.queue, work: "dispatch of callbacks"}
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
		log.note(ctx, err)
		if err != nil { // a wake-up during this second waits, too
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
			more = true
		}
		if more {
			d.wakeUp()
		}
		timer.Reset(d.idleTime())
	}
}

// idleTime returns how long the dispatcher may sleep unless it is woken. Scans take at most a tenth
// of the time.
func (d *dispatcher) idleTime() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(max(minScanInterval, 10*d.took)-time.Since(d.scanned), time.Until(d.next), 0)
}

// stop starts no more attempts. It waits for the current ones until StopTimeout has passed or ctx
// is done, then cancels the rest, which release their deliveries.
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

// round scans if it is time to, claims deliveries for the permits it can acquire, and starts their
// attempts. It reports whether there may be more to claim.
func (d *dispatcher) round(ctx context.Context) (more bool, err error) {
	if d.idleTime() == 0 {
		if err := d.scan(ctx); err != nil {
			return false, err
		}
	}
	requests, err := d.requestClaims(ctx)
	if err != nil || len(requests) == 0 {
		return false, err
	}
	claimed, err := d.queue.claimDeliveries(ctx, requests)
	if err != nil {
		return false, d.releasePermits(requests, err)
	}
	got := make(map[destination]int)
	for _, v := range claimed {
		got[destination{v.owner, v.origin}]++
	}
	states := make(map[destination]destinationState, len(requests))
	for _, a := range requests {
		states[a.to] = a.state
		d.limiter.release(a.epoch(), a.most-got[a.to])
		if got[a.to] == a.most {
			d.markDue(a.to)
		}
	}
	for _, v := range claimed {
		v.state = states[destination{v.owner, v.origin}]
		d.start(v)
	}
	return true, nil
}

// start starts an attempt at a claimed delivery, which already has a permit.
func (d *dispatcher) start(v *attempt) {
	d.attempts.Add(1)
	d.queue.wg.Go(func() {
		defer d.attempts.Done()
		to := destination{v.owner, v.origin}
		d.queue.attempt(d.attempting, v)
		d.limiter.release(epoch{to, v.state.trips}, 1)
		if v.event == jobs.JobProgress {
			d.announce(to, time.Time{}) // the job's other callbacks waited for this one
		}
		d.wakeUp()
	})
}
