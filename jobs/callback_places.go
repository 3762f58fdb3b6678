package jobs

import "sync"

const (
	// maxUnderWay is how many attempts at deliveries to one destination are
	// under way at once in this process, beside those from before it was held back.
	maxUnderWay = 16
	// maxOfOrigin is the same for all owners of callbacks to one origin.
	maxOfOrigin = 64
)

// places are the attempts at deliveries that this process makes at once. Nobody
// can take all of them: the more a destination has, the more must be free for it
// to get another one, and the same holds for an owner. So there is a place for who
// has none, however many receivers are slow.
type places struct {
	all int

	mu      sync.Mutex
	taken   int
	of      map[destination]int
	since   map[era]int
	origins map[string]int
	owners  map[string]int
}

// An era of a destination ends when it is held back. Attempts from before may hang,
// and must not keep the attempt away that probes it.
type era struct {
	to    destination
	trips int
}

func newPlaces(all int) *places {
	return &places{all: all, of: make(map[destination]int), since: make(map[era]int), origins: make(map[string]int), owners: make(map[string]int)}
}

// free reports whether there is a place at all.
func (p *places) free() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken < p.all
}

// take takes places for a destination, up to most in its era, and returns how many it
// got. If others are waiting, it takes no more than its share of those that are free.
// An owner may have twice as many as are free, and a destination half of those that its
// owner may still take: these limits shrink as more of them take part. The last quarter
// is for destinations that have no place.
func (p *places) take(to era, most, others int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	most = min(most, maxUnderWay, p.since[to]+max(1, (p.all-p.taken)/(others+1)))
	for p.since[to] < most && p.origins[to.to.origin] < maxOfOrigin {
		free := p.all - p.taken
		room := min(free, 2*free-p.owners[to.to.owner])
		if has := p.of[to.to]; room <= 0 || has > 0 && (room <= p.all/4 || has >= room/2) {
			break
		}
		p.add(to, 1)
		n++
	}
	return n
}

// give gives places back.
func (p *places) give(to era, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(to, -n)
}

// takenBy returns how many places a destination has.
func (p *places) takenBy(to destination) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[to]
}

// add is called with mu held.
func (p *places) add(to era, n int) {
	p.taken += n
	count(p.of, to.to, n)
	count(p.since, to, n)
	count(p.origins, to.to.origin, n)
	count(p.owners, to.to.owner, n)
}

// count adds n to the value of a key, which has no entry when it is 0.
func count[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
