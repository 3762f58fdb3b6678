package auth

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	// maxQueuedLogins is how many hash computations may run or wait; beyond
	// it a login would wait for many seconds.
	maxQueuedLogins = 128
	// maxQueuedByAddress is how many of them may be for one address.
	maxQueuedByAddress = 2
	// maxHashMemory is how much memory computations may take at once, in
	// bytes, unless a single one needs more.
	maxHashMemory = 256 << 20
	// maxWaitingAddresses bounds the table of addresses whose logins are
	// computed or wait.
	maxWaitingAddresses = 1024
)

// hashCost is what one computation of a hash takes.
type hashCost struct {
	memory int64 // in bytes
	cores  int
}

// costOf returns the cost of a hash that parseHash accepts.
func costOf(s string) hashCost {
	cost := hashCost{memory: 64 << 10, cores: 1}
	if f := strings.Split(s, "$"); strings.HasPrefix(s, "$argon2id$") && len(f) == 6 {
		if n, ok := numbers(f[3], ",", "m=", "t=", "p="); ok {
			return hashCost{memory: int64(n[0]) << 10, cores: int(n[2])}
		}
	}
	if params, _, _, ok := cutWerkzeug(s, "scrypt:"); ok {
		if n, ok := numbers(params, ":", "", "", ""); ok {
			cost.memory = 128 * int64(n[0]) * int64(n[1])
		}
	}
	return cost
}

// hashesAtOnce returns how many computations may run at once when the dearest
// takes cost: they get at most half of the cores and maxHashMemory, but one may
// always run.
func hashesAtOnce(cost hashCost) int {
	byCores := runtime.GOMAXPROCS(0) / 2 / max(1, cost.cores)
	byMemory := int(maxHashMemory / max(1, cost.memory))
	return max(1, min(byCores, byMemory))
}

// A hashQueue is where hash computations wait for their turn. An address has
// only a few places in it, so that one client can't fill it.
type hashQueue struct {
	queue   chan struct{} // holds one for each computation that runs or waits
	running chan struct{} // holds one for each computation that runs

	mu        sync.Mutex
	addresses map[string]*addressPlaces
}

// addressPlaces are the places of one address.
type addressPlaces struct {
	places chan struct{}
	users  int // logins that hold or wait for a place
}

func newHashQueue(atOnce int) *hashQueue {
	return &hashQueue{queue: make(chan struct{}, maxQueuedLogins), running: make(chan struct{}, atOnce), addresses: map[string]*addressPlaces{}}
}

// enter waits for the turn of a computation for the address. The caller calls
// leave when the computation is over. The error is a *RetryError, or wraps the
// one of ctx.
func (q *hashQueue) enter(ctx context.Context, address string) (leave func(), err error) {
	p := q.places(address)
	if p == nil {
		return nil, retryAfter(time.Second)
	}
	var undo []func()
	leave = func() {
		for _, f := range undo {
			f()
		}
		q.forget(address, p)
	}
	take := func(ch chan struct{}) error {
		select {
		case ch <- struct{}{}:
			undo = append(undo, func() { <-ch })
			return nil
		case <-ctx.Done():
			return fmt.Errorf("verify password: %w", context.Cause(ctx))
		}
	}
	if err := take(p.places); err != nil {
		leave()
		return nil, err
	}
	select {
	case q.queue <- struct{}{}:
		undo = append(undo, func() { <-q.queue })
	default:
		leave()
		return nil, retryAfter(time.Second)
	}
	if err := take(q.running); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// places returns the places of the address, or nil when too many addresses wait.
func (q *hashQueue) places(address string) *addressPlaces {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.addresses[address]
	if p == nil {
		if len(q.addresses) >= maxWaitingAddresses {
			return nil
		}
		p = &addressPlaces{places: make(chan struct{}, maxQueuedByAddress)}
		q.addresses[address] = p
	}
	p.users++
	return p
}

func (q *hashQueue) forget(address string, p *addressPlaces) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.users--; p.users == 0 {
		delete(q.addresses, address)
	}
}
