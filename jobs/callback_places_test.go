package jobs

import (
	"fmt"
	"strconv"
	"testing"
)

func TestPlaces(t *testing.T) {
	to := func(owner string, i int) era {
		return era{to: destination{owner, fmt.Sprintf("https://%s-%d.example", owner, i)}}
	}
	t.Run("one of a few", func(t *testing.T) {
		p := newPlaces(1)
		if p.take(to("alice", 1), 16, 0) != 1 || p.take(to("bob", 1), 16, 0) != 0 {
			t.Error("the only place was not taken once")
		}
		p.give(to("alice", 1), 1)
		if p.take(to("bob", 1), 16, 0) != 1 {
			t.Error("the place that was given back was not taken")
		}
	})
	t.Run("a destination alone", func(t *testing.T) {
		p := newPlaces(200)
		if n := p.take(to("alice", 1), 100, 0); n != maxUnderWay {
			t.Errorf("took %d places", n)
		}
		if n := p.take(to("alice", 1), 100, 0); n != 0 {
			t.Errorf("took %d more", n)
		}
	})
	// 20 receivers of one owner never answer: a new one of the owner's and one of
	// another owner get places at once.
	t.Run("many that hang", func(t *testing.T) {
		p := newPlaces(200)
		for range 10 {
			for i := range 20 {
				p.take(to("alice", i), 16, 19)
			}
		}
		if n := p.take(to("alice", 100), 16, 0); n < 1 {
			t.Error("no place is left for the owner's next receiver")
		}
		if n := p.take(to("bob", 1), 16, 0); n < 16 {
			t.Errorf("%d places are left for another owner", n)
		}
	})
	t.Run("a probe beside attempts that hang", func(t *testing.T) {
		p := newPlaces(200)
		alice := to("alice", 1)
		p.take(alice, 16, 0)
		if alice.trips++; p.take(alice, 1, 0) != 1 || p.take(alice, 1, 0) != 0 {
			t.Error("not one attempt probes")
		}
	})
	t.Run("many owners of one origin", func(t *testing.T) {
		p := newPlaces(1000)
		n := 0
		for i := range 50 {
			n += p.take(era{to: destination{strconv.Itoa(i), "https://shared.example"}}, 16, 0)
		}
		if n != maxOfOrigin {
			t.Errorf("took %d places for one origin", n)
		}
	})
	t.Run("all given back", func(t *testing.T) {
		p := newPlaces(100)
		for i := range 10 {
			p.give(to("alice", i), p.take(to("alice", i), 16, 0))
		}
		if p.taken != 0 || len(p.of)+len(p.since)+len(p.origins)+len(p.owners) != 0 {
			t.Errorf("left over: %+v", p)
		}
	})
}
