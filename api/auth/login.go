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
	// loginLifetime is how long a verified password is remembered.
	loginLifetime = 5 * time.Minute
	// maxLogins is how many verified passwords are remembered.
	maxLogins = 4096
	// unknownBurst and unknownInterval are the allowance that all names that
	// do not exist share, whoever sends them.
	unknownBurst    = 10
	unknownInterval = time.Second
)

// logins verifies names and passwords. A computation takes a tenth of a second
// of CPU by intent, so the credentials it has found right are remembered for
// a while, requests with the same ones share it, and a [hashQueue] limits how
// many run at once.
type logins struct {
	hashes        map[string]verifier
	names         []string // of hashes, sorted
	key           []byte   // of the MACs, random and only in this process
	seed          maphash.Seed
	failures      *throttle     // by address, over all names
	knownFailures *throttle     // by address, over the names that exist
	unknownNames  *rate.Limiter // computations for names that do not exist
	lastDuration  atomic.Int64  // nanoseconds of the last computation
	hashing       *hashQueue

	mu       sync.Mutex
	verified map[loginMAC]time.Time // to when they are forgotten
	flights  map[loginMAC]*flight
}

// loginMAC stands for a name and a password, which are not kept themselves.
type loginMAC [sha256.Size]byte

// flight is a verification under way; err is set when done is closed.
type flight struct {
	done chan struct{}
	err  error
}

// newLogins returns logins that compute at most atOnce hashes at once.
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

// verify returns nil, ErrBadCredentials, a *RetryError, or the error of ctx.
func (l *logins) verify(ctx context.Context, from, name, password string) error {
	mac := l.mac(name, password)
	for {
		f, leads := l.join(mac)
		if f == nil {
			return nil
		}
		if leads {
			return l.lead(ctx, mac, f, from, name, password)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return fmt.Errorf("verify password: %w", context.Cause(ctx))
		}
		// A leader that was throttled or went away has not found out anything.
		if f.err == nil || errors.Is(f.err, ErrBadCredentials) {
			return f.err
		}
	}
}

// join returns no flight when the credentials are known to be right, else the
// one under way, or a new one that the caller has to lead.
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

// lead does the verification of a flight and tells the others on it.
func (l *logins) lead(ctx context.Context, mac loginMAC, f *flight, from, name, password string) error {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f.err == nil {
			l.cache(mac)
		}
		delete(l.flights, mac)
		close(f.done)
	}()
	f.err = l.verifyThrottled(ctx, from, name, password)
	return f.err
}

// throttled compares unless there were too many failures from the address. It
// counts a failure before it knows of it, so that many guesses at once are
// limited too. Names that exist have an allowance of their own beside the one
// over all names, so that invented names can't keep users out who share their
// address. Whether a name exists shows neither in the answer nor in its time:
// over the first allowance, only a right password is answered differently.
func (l *logins) verifyThrottled(ctx context.Context, from, name, password string) error {
	_, exists := l.hashes[name]
	wait := l.failures.take(from)
	compute := wait == 0 && (exists || l.unknownNames.Allow())
	if exists {
		knownWait := l.knownFailures.take(from)
		if compute = knownWait == 0; !compute && wait == 0 {
			l.failures.refund(from)
		}
		wait = max(wait, knownWait)
	}
	err := ErrBadCredentials
	if compute {
		err = l.compare(ctx, from, name, password)
	} else if ctxErr := l.simulateCompute(ctx); ctxErr != nil {
		err = ctxErr
	}
	switch {
	case !errors.Is(err, ErrBadCredentials) && compute:
		if exists {
			l.knownFailures.refund(from)
		}
		if wait == 0 {
			l.failures.refund(from)
		}
	case errors.Is(err, ErrBadCredentials) && wait > 0:
		return retryAfter(wait)
	}
	return err
}

// compare computes the hash when it is its turn.
func (l *logins) compare(ctx context.Context, from, name, password string) error {
	matches, exists := l.hashes[name]
	if !exists {
		// Somebody else's hash, always the same one for a name: the time it
		// takes must not tell which names exist.
		decoy := maphash.String(l.seed, name) % uint64(len(l.names))
		matches = l.hashes[l.names[decoy]]
	}
	release, err := l.hashing.acquire(ctx, from)
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

// pretend takes about the time that a computation takes. Its error is the one
// of ctx.
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

// remember is called with mu held. It walks through all logins, which is
// nothing beside the computation that came before it.
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
