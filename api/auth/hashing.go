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
func maxConcurrentHashes(cost hashCost) int {
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
	addresses map[string]*addressPermits
}

// addressPlaces are the places of one address.
type addressPermits struct {
	permits chan struct{}
	users   int // logins that hold or wait for a place
}

func newHashQueue(concurrency int) *hashQueue {
	return &hashQueue{queue: make(chan struct{}, maxQueuedLogins), running: make(chan struct{}, concurrency), addresses: map[string]*addressPermits{}}
}

// enter waits for the turn of a computation for the address. The caller calls
// leave when the computation is over. The error is a *RetryError, or wraps the
// one of ctx.
func (q *hashQueue) acquire(ctx context.Context, address string) (release func(), err error) {
	perAddress := q.permitsOf(address)
	if perAddress == nil {
		return nil, retryAfter(time.Second)
	}
	var releases []func()
	release = func() {
		for _, f := range releases {
			f()
		}
		q.releaseAddress(address, perAddress)
	}
	take := func(ch chan struct{}) error {
		select {
		case ch <- struct{}{}:
			releases = append(releases, func() { <-ch })
			return nil
		case <-ctx.Done():
			return fmt.Errorf("verify password: %w", context.Cause(ctx))
		}
	}
	if err := take(perAddress.permits); err != nil {
		release()
		return nil, err
	}
	select {
	case q.queue <- struct{}{}:
		releases = append(releases, func() { <-q.queue })
	default:
		release()
		return nil, retryAfter(time.Second)
	}
	if err := take(q.running); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// places returns the places of the address, or nil when too many addresses wait.
func (q *hashQueue) permitsOf(address string) *addressPermits {
	q.mu.Lock()
	defer q.mu.Unlock()
	perAddress := q.addresses[address]
	if perAddress == nil {
		if len(q.addresses) >= maxWaitingAddresses {
			return nil
		}
		perAddress = &addressPermits{permits: make(chan struct{}, maxQueuedByAddress)}
		q.addresses[address] = perAddress
	}
	perAddress.users++
	return perAddress
}

func (q *hashQueue) releaseAddress(address string, perAddress *addressPermits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if perAddress.users--; perAddress.users == 0 {
		delete(q.addresses, address)
	}
}
