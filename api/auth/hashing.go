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
	// maxQueuedLogins is the maximum number of hash computations that run or
	// wait. With more, a login would wait for many seconds.
	maxQueuedLogins = 128
	// maxQueuedByAddress is the maximum number of these computations per
	// address.
	maxQueuedByAddress = 2
	// maxHashMemory is the memory limit of concurrent computations, in bytes. A
	// single computation may exceed it.
	maxHashMemory = 256 << 20
	// maxWaitingAddresses limits the number of addresses with running or
	// waiting computations.
	maxWaitingAddresses = 1024
)

// hashCost is the resource usage of one hash computation.
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

// maxConcurrentHashes returns how many computations may run concurrently if
// each costs at most the given cost. They use at most half of the cores and
// maxHashMemory, but at least one may always run.
func maxConcurrentHashes(cost hashCost) int {
	byCores := runtime.GOMAXPROCS(0) / 2 / max(1, cost.cores)
	byMemory := int(maxHashMemory / max(1, cost.memory))
	return max(1, min(byCores, byMemory))
}

// A hashQueue limits concurrent hash computations. It also limits the
// computations per address, so that a single client cannot fill the queue.
type hashQueue struct {
	queue   chan struct{} // one element per running or waiting computation
	running chan struct{} // one element per running computation

	mu        sync.Mutex // guards addresses and their users
	addresses map[string]*addressPermits
}

// addressPermits are the permits of one address.
type addressPermits struct {
	permits chan struct{}
	users   int // logins that hold or wait for a permit
}

func newHashQueue(concurrency int) *hashQueue {
	return &hashQueue{
		queue: make(chan struct{}, maxQueuedLogins), running: make(chan struct{}, concurrency),
		addresses: map[string]*addressPermits{},
	}
}

// acquire waits until a computation for the address may run. The caller must
// call release when the computation is done. The error is a *RetryError or
// wraps the error of ctx.
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

// permitsOf returns the permits of the address, or nil if too many addresses
// are waiting. The caller must call releaseAddress.
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
