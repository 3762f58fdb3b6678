package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// loginLifetime is how long a verified password stays in the cache.
	loginLifetime = 5 * time.Minute
	// maxLogins is the maximum number of verified passwords in the cache.
	maxLogins = 4096
	// unknownBurst and unknownInterval are the rate limit on computations for
	// names that do not exist. All such names and all clients share it.
	unknownBurst    = 10
	unknownInterval = time.Second
)

// logins verifies names and passwords. A hash computation is designed to take
// about a tenth of a second of CPU time. To save computations, logins caches
// credentials that were verified, concurrent requests with the same credentials
// share one computation, and a [hashQueue] limits how many run at once.
type logins struct {
	hashes        map[string]verifier
	names         []string // keys of hashes, sorted
	key           []byte   // key of the MACs: random, never leaves the process
	seed          maphash.Seed
	failures      *throttle     // failures by address, for all names
	knownFailures *throttle     // failures by address, for existing names only
	unknownNames  *rate.Limiter // limits computations for names that do not exist
	lastDuration  atomic.Int64  // duration of the last computation, in nanoseconds
	hashing       *hashQueue

	mu       sync.Mutex             // guards verified and flights
	verified map[loginMAC]time.Time // expiry time by MAC
	flights  map[loginMAC]*flight
}

// loginMAC identifies a name and a password, which are not stored.
type loginMAC [sha256.Size]byte

// flight is a verification in progress. err is valid once done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// newLogins returns logins that run at most the given number of hash
// computations concurrently.
func newLogins(hashes map[string]verifier, concurrency int) *logins {
	return &logins{
		hashes:        hashes,
		names:         slices.Sorted(maps.Keys(hashes)),
		key:           []byte(rand.Text()),
		seed:          maphash.MakeSeed(),
		failures:      newThrottle(),
		knownFailures: newThrottle(),
		unknownNames:  rate.NewLimiter(rate.Every(unknownInterval), unknownBurst),
		hashing:       newHashQueue(concurrency),
		verified:      map[loginMAC]time.Time{},
		flights:       map[loginMAC]*flight{},
	}
}

// verify returns nil if the password is correct. Otherwise it returns
// ErrBadCredentials or a *RetryError, or wraps the error of ctx.
func (l *logins) verify(ctx context.Context, address, name, password string) error {
	mac := l.mac(name, password)
	for {
		f, leads := l.join(mac)
		if f == nil {
			return nil
		}
		if leads {
			return l.lead(ctx, mac, f, address, name, password)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("verify password: %w", context.Cause(ctx))
		}
		// The leader was throttled or disconnected, so its flight has no
		// result. Try again.
		if f.err == nil || errors.Is(f.err, ErrBadCredentials) {
			return f.err
		}
	}
}

// join returns nil if the credentials are in the cache. Otherwise it returns
// the flight in progress, or a new flight that the caller must lead.
func (l *logins) join(mac loginMAC) (f *flight, leads bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Now().Before(l.verified[mac]) {
		return nil, false
	}
	if f, ok := l.flights[mac]; ok {
		return f, false
	}
	f = &flight{done: make(chan struct{}), err: ErrBadCredentials}
	l.flights[mac] = f
	return f, true
}

// lead runs the verification of a flight and publishes the result to the
// waiting requests.
func (l *logins) lead(ctx context.Context, mac loginMAC, f *flight, address, name, password string) error {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f.err == nil {
			l.cache(mac)
		}
		delete(l.flights, mac)
		close(f.done)
	}()
	f.err = l.verifyThrottled(ctx, address, name, password)
	return f.err
}

// verifyThrottled verifies the password unless the address had too many
// failures. It counts the failure in advance and refunds it unless the password
// is wrong, so that concurrent guesses are limited too.
//
// Existing names have a limit of their own in addition to the limit for all
// names: a client that tries unknown names cannot lock out users who share its
// address. Neither the response nor its timing reveals whether a name exists.
// Over the limit for all names, only a correct password gets a different
// response.
func (l *logins) verifyThrottled(ctx context.Context, address, name, password string) error {
	_, exists := l.hashes[name]
	wait := l.failures.take(address)
	compute := wait == 0 && (exists || l.unknownNames.Allow())
	if exists {
		knownWait := l.knownFailures.take(address)
		if compute = knownWait == 0; !compute && wait == 0 {
			l.failures.refund(address)
		}
		wait = max(wait, knownWait)
	}
	err := ErrBadCredentials
	if compute {
		err = l.compare(ctx, address, name, password)
	} else if ctxErr := l.simulateCompute(ctx); ctxErr != nil {
		err = ctxErr
	}
	switch {
	case !errors.Is(err, ErrBadCredentials) && compute:
		if exists {
			l.knownFailures.refund(address)
		}
		if wait == 0 {
			l.failures.refund(address)
		}
	case errors.Is(err, ErrBadCredentials) && wait > 0:
		return retryAfter(wait)
	}
	return err
}

// compare computes the hash, once the queue admits it, and compares it.
func (l *logins) compare(ctx context.Context, address, name, password string) error {
	matches, exists := l.hashes[name]
	if !exists {
		// For an unknown name, compute the hash of another user. The choice
		// depends only on the name, so that the timing does not reveal which
		// names exist.
		decoy := maphash.String(l.seed, name) % uint64(len(l.names))
		matches = l.hashes[l.names[decoy]]
	}
	release, err := l.hashing.acquire(ctx, address)
	if err != nil {
		return err
	}
	defer release()
	start := time.Now()
	ok := matches(password)
	l.lastDuration.Store(int64(time.Since(start)))
	if !ok || !exists {
		return ErrBadCredentials
	}
	return nil
}

// simulateCompute takes about as long as the last hash computation. Its error
// wraps the error of ctx.
func (l *logins) simulateCompute(ctx context.Context) error {
	timer := time.NewTimer(time.Duration(l.lastDuration.Load()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("verify password: %w", context.Cause(ctx))
	}
}

// cache adds verified credentials to the cache. The caller must hold mu. The
// scan of all entries is cheap compared to the hash computation before it.
func (l *logins) cache(mac loginMAC) {
	now := time.Now()
	maps.DeleteFunc(l.verified, func(_ loginMAC, until time.Time) bool { return !now.Before(until) })
	if len(l.verified) >= maxLogins {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(l.verified)), func(a, b loginMAC) int {
			return l.verified[a].Compare(l.verified[b])
		})
		delete(l.verified, oldest)
	}
	l.verified[mac] = now.Add(loginLifetime)
}

func (l *logins) mac(name, password string) loginMAC {
	h := hmac.New(sha256.New, l.key)
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(password))
	return loginMAC(h.Sum(nil))
}
