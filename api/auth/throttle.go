package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// throttle lets each key fail 10 times at once and then once every 6 s.
//
// Keys are hashed onto a fixed number of buckets, so that the memory is
// bounded and nobody can flush their own failures out by inventing keys. Two
// keys rarely share a bucket, and the allowances come back faster than
// password hashes can be computed to use them all up.
type throttle struct {
	seed  maphash.Seed
	start time.Time

	mu sync.Mutex
	// full is when, counted from start, a bucket has its whole allowance again.
	fullAt [1 << 14]time.Duration
}

const (
	failureBurst    = 10
	failureInterval = 6 * time.Second
)

func newThrottle() *throttle {
	return &throttle{seed: maphash.MakeSeed(), start: time.Now()}
}

// take takes one failure from the key's allowance, or returns how long it
// takes until there is one again.
func (t *throttle) take(key string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket, now := t.bucket(key), time.Since(t.start)
	full := max(*bucket, now) + failureInterval
	if wait := full - now - failureBurst*failureInterval; wait > 0 {
		return wait
	}
	*bucket = full
	return 0
}

// giveBack returns what take took, when there was no failure.
func (t *throttle) refund(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.bucket(key) -= failureInterval
}

func (t *throttle) bucket(key string) *time.Duration {
	return &t.fullAt[maphash.String(t.seed, key)%uint64(len(t.fullAt))]
}

// Address returns what failures from the address of a connection are counted
// against: the IPv4 address, or the /64 of an IPv6 address, of which one
// customer has all.
func Address(remoteAddr string) string {
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	ip := addr.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
