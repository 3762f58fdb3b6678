package queue

import (
	"fmt"
	"strconv"
	"testing"
)

func TestLimiter(t *testing.T) {
	to := func(owner string, i int) epoch {
		return epoch{to: destination{owner, fmt.Sprintf("https://%s-%d.example", owner, i)}}
	}
	t.Run("one of a few", func(t *testing.T) {
		l := newLimiter(1)
		if l.acquire(to("alice", 1), 16, 0) != 1 || l.acquire(to("bob", 1), 16, 0) != 0 {
			t.Error("the only permit was not given once")
		}
		l.release(to("alice", 1), 1)
		if l.acquire(to("bob", 1), 16, 0) != 1 {
			t.Error("the permit that was released was not given")
		}
	})
	t.Run("a destination alone", func(t *testing.T) {
		l := newLimiter(200)
		if n := l.acquire(to("alice", 1), 100, 0); n != maxPerDestination {
			t.Errorf("%d permits", n)
		}
		if n := l.acquire(to("alice", 1), 100, 0); n != 0 {
			t.Errorf("%d more", n)
		}
	})
	// 20 receivers of one owner never answer: a new one of the owner's and one of
	// another owner get permits at once.
	t.Run("many that hang", func(t *testing.T) {
		l := newLimiter(200)
		for range 10 {
			for i := range 20 {
				l.acquire(to("alice", i), 16, 19)
			}
		}
		if n := l.acquire(to("alice", 100), 16, 0); n < 1 {
			t.Error("no permit is left for the owner's next receiver")
		}
		if n := l.acquire(to("bob", 1), 16, 0); n < 16 {
			t.Errorf("%d permits are left for another owner", n)
		}
	})
	t.Run("a probe beside attempts that hang", func(t *testing.T) {
		l := newLimiter(200)
		alice := to("alice", 1)
		l.acquire(alice, 16, 0)
		if alice.trips++; l.acquire(alice, 1, 0) != 1 || l.acquire(alice, 1, 0) != 0 {
			t.Error("not one attempt probes")
		}
	})
	t.Run("many owners of one origin", func(t *testing.T) {
		l := newLimiter(1000)
		n := 0
		for i := range 50 {
			n += l.acquire(epoch{to: destination{strconv.Itoa(i), "https://shared.example"}}, 16, 0)
		}
		if n != maxPerOrigin {
			t.Errorf("%d permits for one origin", n)
		}
	})
	t.Run("all given back", func(t *testing.T) {
		l := newLimiter(100)
		for i := range 10 {
			l.release(to("alice", i), l.acquire(to("alice", i), 16, 0))
		}
		if l.used != 0 || len(l.destinations)+len(l.epochs)+len(l.origins)+len(l.owners) != 0 {
			t.Errorf("left over: %+v", l)
		}
	})
}
