package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// throttle is a rate limiter for failures: each key may fail 10 times in a
// burst, and then once every 6 s.
//
// Keys are hashed onto a fixed number of buckets. This bounds memory, and a
// client cannot evict its own failures by inventing keys. Two keys rarely share
// a bucket, and buckets refill faster than clients can exhaust all of them with
// password hash computations.
type throttle struct {
	seed  maphash.Seed
	start time.Time

	mu sync.Mutex // guards fullAt
	// fullAt is when each bucket has its full allowance again, since start.
	fullAt [1 << 14]time.Duration
}

const (
	failureBurst    = 10
	failureInterval = 6 * time.Second
)

func newThrottle() *throttle {
	return &throttle{seed: maphash.MakeSeed(), start: time.Now()}
}

// take consumes one failure of the key and returns 0. If the limit is reached,
// it returns how long to wait until the next failure is allowed.
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

// refund undoes a take that turned out not to be a failure.
func (t *throttle) refund(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.bucket(key) -= failureInterval
}

func (t *throttle) bucket(key string) *time.Duration {
	return &t.fullAt[maphash.String(t.seed, key)%uint64(len(t.fullAt))]
}

// Address returns the client address to which limits per address apply: the
// IPv4 address, or the /64 network of an IPv6 address, because one customer
// usually controls a whole /64. If remoteAddr is not an address with a port,
// Address returns it unchanged.
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
