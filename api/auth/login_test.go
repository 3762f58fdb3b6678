package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counting is a slow verifier that counts its calls.
type counting struct {
	calls, running, most atomic.Int64
}

func (c *counting) verifier(want string) verifier {
	return func(password string) bool {
		c.calls.Add(1)
		now := c.running.Add(1)
		defer c.running.Add(-1)
		for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
		}
		time.Sleep(100 * time.Millisecond)
		return password == want
	}
}

func (c *counting) expect(t *testing.T, want int64) {
	t.Helper()
	if got := c.calls.Load(); got != want {
		t.Errorf("got %d computations, want %d", got, want)
	}
}

// aliceLogins knows alice, whose password is "secret".
func aliceLogins() (*logins, *counting) {
	c := &counting{}
	return newLogins(map[string]verifier{"alice": c.verifier("secret")}, 2), c
}

// distinguish makes sure that the addresses here and there share no bucket.
func distinguish(l *logins) {
	for l.failures.bucket("here") == l.failures.bucket("there") {
		l.failures = newThrottle()
	}
	for l.knownFailures.bucket("here") == l.knownFailures.bucket("there") {
		l.knownFailures = newThrottle()
	}
}

func expectError(t *testing.T, got, want error) {
	t.Helper()
	var retry, wantRetry *RetryError
	if errors.As(want, &wantRetry) {
		if !errors.As(got, &retry) || *retry != *wantRetry {
			t.Errorf("got error %v, want %v", got, want)
		}
		return
	}
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

func TestLoginIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		login := func(password string, want error) {
			t.Helper()
			expectError(t, l.verify(t.Context(), "here", "alice", password), want)
		}
		start := time.Now()
		login("secret", nil)
		login("secret", nil)
		hash.expect(t, 1)
		login("Secret", ErrBadCredentials)
		login("Secret", ErrBadCredentials)
		expectError(t, l.verify(t.Context(), "here", "alices", "ecret"), ErrBadCredentials)
		hash.expect(t, 4)

		time.Sleep(time.Until(start.Add(100*time.Millisecond + 5*time.Minute - 1)))
		login("secret", nil)
		hash.expect(t, 4)
		time.Sleep(time.Nanosecond)
		login("secret", nil)
		hash.expect(t, 5)
	})
}

func TestLoginCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := aliceLogins()
		remember := func(i int) {
			time.Sleep(time.Millisecond)
			l.cache(l.mac("alice", strconv.Itoa(i)))
		}
		for i := range maxLogins + 3 {
			remember(i)
		}
		if got := len(l.verified); got != maxLogins {
			t.Errorf("got %d logins remembered, want %d", got, maxLogins)
		}
		for i, want := range map[int]bool{0: false, 2: false, 3: true, maxLogins + 2: true} {
			if _, got := l.verified[l.mac("alice", strconv.Itoa(i))]; got != want {
				t.Errorf("login %d remembered: got %v, want %v", i, got, want)
			}
		}
		time.Sleep(loginLifetime)
		remember(0)
		if got := len(l.verified); got != 1 {
			t.Errorf("got %d logins remembered after all have expired, want the new one", got)
		}
	})
}

func TestLoginIsShared(t *testing.T) {
	for password, want := range map[string]error{"secret": nil, "wrong": ErrBadCredentials} {
		t.Run(password, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, hash := aliceLogins()
				var wg sync.WaitGroup
				for range 64 {
					wg.Go(func() {
						expectError(t, l.verify(t.Context(), "here", "alice", password), want)
					})
				}
				wg.Wait()
				hash.expect(t, 1)
				if len(l.flights) != 0 {
					t.Errorf("got %d flights at the end, want 0", len(l.flights))
				}
			})
		})
	}
}

// Whoever leads a shared verification may go away, the others still get theirs;
// and who goes away while others lead need not wait.
func TestLoginOutlivesLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		for range cap(l.hashing.running) {
			l.hashing.running <- struct{}{}
		}
		var wg sync.WaitGroup
		var left atomic.Int64
		enter := func(ctx context.Context, want error) {
			wg.Go(func() {
				expectError(t, l.verify(ctx, "here", "alice", "secret"), want)
				left.Add(1)
			})
			synctest.Wait()
		}
		expectLeft := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := left.Load(); got != want {
				t.Errorf("got %d requests that left, want %d", got, want)
			}
		}
		gone := errors.New("gone")
		leader, cancelLeader := context.WithCancelCause(t.Context())
		follower, cancelFollower := context.WithCancelCause(t.Context())
		enter(leader, gone)
		enter(follower, gone)
		enter(t.Context(), nil)
		enter(t.Context(), nil)

		cancelFollower(gone)
		expectLeft(1)
		cancelLeader(gone)
		expectLeft(2)
		hash.expect(t, 0)
		<-l.hashing.running
		wg.Wait()
		hash.expect(t, 1)

		for range 10 { // none of this was a failure
			expectError(t, l.verify(t.Context(), "here", "alice", "wrong"), ErrBadCredentials)
		}
	})
}

func TestLoginsAreQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		var refused atomic.Int64
		var wg sync.WaitGroup
		for i := range maxQueuedLogins + 5 {
			wg.Go(func() {
				err := l.verify(t.Context(), strconv.Itoa(i), "alice", fmt.Sprint("wrong", i))
				if errors.Is(err, ErrBadCredentials) {
					return
				}
				refused.Add(1)
				expectError(t, err, &RetryError{After: time.Second})
			})
		}
		wg.Wait()
		hash.expect(t, maxQueuedLogins)
		if got, want := hash.most.Load(), int64(2); got != want {
			t.Errorf("got %d computations at once, want %d", got, want)
		}
		if got := refused.Load(); got != 5 {
			t.Errorf("got %d refused, want 5", got)
		}
		if len(l.hashing.queue) != 0 || len(l.hashing.running) != 0 {
			t.Errorf("got %d queued and %d running at the end, want 0", len(l.hashing.queue), len(l.hashing.running))
		}
	})
}

func TestLoginFailuresAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		distinguish(l)
		login := func(from, name, password string, want error) {
			t.Helper()
			expectError(t, l.verify(t.Context(), from, name, password), want)
		}
		login("here", "alice", "secret", nil)
		var wg sync.WaitGroup
		var wrong atomic.Int64
		for i := range 64 {
			wg.Go(func() {
				err := l.verify(t.Context(), "here", "alice", fmt.Sprint("wrong", i))
				if errors.Is(err, ErrBadCredentials) {
					wrong.Add(1)
					return
				}
				expectError(t, err, &RetryError{After: 6 * time.Second})
			})
		}
		wg.Wait()
		if got := wrong.Load(); got != 10 {
			t.Errorf("got %d guesses checked, want 10", got)
		}
		hash.expect(t, 11)

		login("here", "alice", "secret", nil)
		login("there", "alice", "wrong", ErrBadCredentials)
		login("there", "bob", "wrong", ErrBadCredentials)
		hash.expect(t, 13)                                       // bob, who does not exist, costs as much
		for _, name := range []string{"alice", "bob", "carol"} { // the allowance is over all names
			got := l.verify(t.Context(), "here", name, "wrong")
			if _, ok := errors.AsType[*RetryError](got); !ok {
				t.Errorf("%s: got error %v, want a *RetryError", name, got)
			}
		}
		hash.expect(t, 13)

		time.Sleep(6 * time.Second)
		login("here", "alice", "wrong", ErrBadCredentials)
		login("here", "alice", "wrong", &RetryError{After: 5 * time.Second})

		time.Sleep(loginLifetime)
		for range 20 { // nothing that is right counts as a failure
			clear(l.verified)
			login("here", "alice", "secret", nil)
		}
	})
}

// A throttled leader must not throttle those who asked from elsewhere.
func TestThrottledLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		distinguish(l)
		for l.failures.take("here") == 0 || l.knownFailures.take("here") == 0 {
		}
		mac := l.mac("alice", "secret")
		f, leads := l.join(mac)
		if !leads {
			t.Fatal("got no lead of a new flight")
		}
		var wg sync.WaitGroup
		wg.Go(func() { expectError(t, l.verify(t.Context(), "there", "alice", "secret"), nil) })
		synctest.Wait()
		expectError(t, l.lead(t.Context(), mac, f, "here", "alice", "secret"), &RetryError{After: 6 * time.Second})
		wg.Wait()
		hash.expect(t, 1)
	})
}

// An unknown name is checked against the hash of a user, and always of the same
// one, and never gets in with that user's password.
func TestUnknownUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alice, bob := &counting{}, &counting{}
		l := newLogins(map[string]verifier{"alice": alice.verifier("secret"), "bob": bob.verifier("secret")}, 2)
		for range 8 {
			expectError(t, l.verify(t.Context(), "here", "carol", "secret"), ErrBadCredentials)
		}
		if a, b := alice.calls.Load(), bob.calls.Load(); max(a, b) != 8 || min(a, b) != 0 {
			t.Errorf("got %d and %d computations, want 8 and 0", a, b)
		}
	})
}

// Names that do not exist share one small allowance, wherever they come from,
// and are told the same after as long when it is used up.
func TestUnknownNamesShareLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				expectError(t, l.verify(t.Context(), fmt.Sprint("address", i), fmt.Sprint("name", i), "wrong"), ErrBadCredentials)
			})
		}
		synctest.Wait()
		expectError(t, l.verify(t.Context(), "here", "alice", "secret"), nil)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the right password took %s beside invented names", took)
		}
		wg.Wait()
		hash.expect(t, unknownBurst+1)

		start = time.Now()
		expectError(t, l.verify(t.Context(), "elsewhere", "zoe", "wrong"), ErrBadCredentials)
		if took := time.Since(start); took != 100*time.Millisecond && took != 0 {
			t.Errorf("a name that is not computed took %s", took)
		}
	})
}

// Invented names from the address of a user do not keep the user out, and what
// fails beside them does not tell whether its name exists.
func TestUnknownNamesFromSameAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		for i := range failureBurst {
			expectError(t, l.verify(t.Context(), "here", fmt.Sprint("name", i), "wrong"), ErrBadCredentials)
		}
		for _, name := range []string{"alice", "bob"} {
			start := time.Now()
			got := l.verify(t.Context(), "here", name, "wrong")
			if _, ok := errors.AsType[*RetryError](got); !ok || time.Since(start) != 100*time.Millisecond {
				t.Errorf("%s: %v after %s", name, got, time.Since(start))
			}
		}
		expectError(t, l.verify(t.Context(), "here", "alice", "secret"), nil)
		for i := range 2 * failureBurst { // the guesses of one address stay limited
			l.verify(t.Context(), "here", "alice", fmt.Sprint("guess", i))
		}
		hash.expect(t, int64(failureBurst+2+failureBurst-1))
	})
}

// One address has only a few places in the queue; its other logins wait outside.
func TestHashQueueLimitsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, hash := aliceLogins()
		var wg sync.WaitGroup
		for i := range failureBurst {
			wg.Go(func() { l.verify(t.Context(), "here", "alice", fmt.Sprint("wrong", i)) })
		}
		synctest.Wait()
		if got := len(l.hashing.queue); got != maxQueuedByAddress {
			t.Errorf("got %d places for one address, want %d", got, maxQueuedByAddress)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.verify(ctx, "there", "alice", "secret"); err == nil {
			t.Error("a canceled login went through")
		}
		wg.Wait()
		hash.expect(t, failureBurst)
		if len(l.hashing.addresses) != 0 || len(l.hashing.queue) != 0 || len(l.hashing.running) != 0 {
			t.Errorf("at the end: %d addresses, %d queued, %d running", len(l.hashing.addresses), len(l.hashing.queue), len(l.hashing.running))
		}
	})
}

// Hashes get at most half of the cores and a bounded memory.
func TestMaxConcurrentHashes(t *testing.T) {
	half := max(1, runtime.GOMAXPROCS(0)/2)
	for _, test := range []struct {
		hash string
		want int
	}{
		{vectors["bcrypt 2b"], half},
		{vectors["pbkdf2 sha256"], half},
		{"$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", 1},
		{"$argon2id$v=19$m=65536,t=3,p=200$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", 1},
		{"scrypt:1048576:8:1$salt$00", 1},
	} {
		if got := maxConcurrentHashes(costOf(test.hash)); got != test.want {
			t.Errorf("%s: got %d at once, want %d", test.hash, got, test.want)
		}
	}
}
