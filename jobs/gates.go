package jobs

import (
	"math/rand/v2"
	"sync"
	"time"
)

// gates decide which deliveries may be attempted now, so that a receiver that
// hangs or fails takes no more than its share and is asked less and less. What
// they know of a receiver stands in the table destinations, for all processes;
// a healthy one has no row.
type gates struct {
	mu       sync.Mutex
	underWay map[destination]int
	putOff   map[destination]int // since the last success
}

func newGates() *gates {
	return &gates{underWay: make(map[destination]int), putOff: make(map[destination]int)}
}

func (g *gates) take(to destination, allowed int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := destination{origin: to.origin} // nobody is called ""
	if g.underWay[to] >= allowed || g.underWay[all] >= maxOfOrigin {
		return false
	}
	g.underWay[to]++
	g.underWay[all]++
	return true
}

func (g *gates) give(to destination) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, d := range []destination{to, {origin: to.origin}} {
		if g.underWay[d]--; g.underWay[d] <= 0 {
			delete(g.underWay, d)
		}
	}
}

// spread returns a random wait that grows with how many deliveries wait for
// the destination, so that they do not all come back together.
func (g *gates) spread(to destination) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.putOff) > 10_000 {
		clear(g.putOff) // they only make the spread better
	}
	g.putOff[to]++
	return rand.N(min(time.Duration(g.putOff[to])*20*time.Millisecond, maxSpread)) //nolint:gosec // chance spreads load here, it keeps no secret
}

func (g *gates) forget(to destination) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.putOff, to)
}
