package queue

import "sync"

const (
	// maxPerDestination is the maximum number of concurrent attempts to one destination in this
	// process, not counting those that started before its last hold.
	maxPerDestination = 16
	// maxPerOrigin is the same for one origin across all owners.
	maxPerOrigin = 64
)

// A limiter issues permits for attempts at deliveries. A destination that already has permits gets
// another only while enough are free, and the same applies to an owner. So no destination can take
// all permits: one that has none gets one at once, however many receivers are slow.
type limiter struct {
	all int // total number of permits

	mu           sync.Mutex // guards the fields below
	used         int        // permits in use; the maps count the same permits by destination, epoch, origin and owner
	destinations map[destination]int
	epochs       map[epoch]int
	origins      map[string]int
	owners       map[string]int
}

// An epoch of a destination ends with each hold. Attempts of an earlier epoch may hang; they must
// not block the attempt that probes the destination.
type epoch struct {
	to    destination
	trips int
}

func newLimiter(all int) *limiter {
	return &limiter{
		all: all, destinations: make(map[destination]int), epochs: make(map[epoch]int), origins: make(map[string]int),
		owners: make(map[string]int),
	}
}

// available reports whether any permit is free.
func (l *limiter) available() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used < l.all
}

// acquire acquires permits for a destination, up to most in its epoch, and returns how many. If
// others are waiting, it takes at most a fair share of the free permits. An owner may have at most
// twice as many permits as are free, and a destination half of those that its owner may still get,
// so these limits shrink as more of them compete. The last quarter is reserved for destinations
// that have no permit.
func (l *limiter) acquire(e epoch, most, others int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most = min(most, maxPerDestination, l.epochs[e]+max(1, (l.all-l.used)/(others+1)))
	for l.epochs[e] < most && l.origins[e.to.origin] < maxPerOrigin {
		free := l.all - l.used
		room := min(free, 2*free-l.owners[e.to.owner])
		if has := l.destinations[e.to]; room <= 0 || has > 0 && (room <= l.all/4 || has >= room/2) {
			break
		}
		l.add(e, 1)
		n++
	}
	return n
}

// release releases permits.
func (l *limiter) release(e epoch, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(e, -n)
}

// inUse returns how many permits a destination has.
func (l *limiter) inUse(to destination) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.destinations[to]
}

// add requires l.mu to be held.
func (l *limiter) add(e epoch, n int) {
	l.used += n
	addCount(l.destinations, e.to, n)
	addCount(l.epochs, e, n)
	addCount(l.origins, e.to.origin, n)
	addCount(l.owners, e.to.owner, n)
}

// addCount adds n to the count of a key, and deletes the key when its count becomes 0.
func addCount[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
