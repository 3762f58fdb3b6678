package jobs

import "sync"

const (
	// maxUnderWay is how many attempts at deliveries to one destination are
	// under way at once in this process, beside those from before it was held back.
	maxUnderWay = 16
	// maxOfOrigin is the same for all owners of callbacks to one origin.
	maxOfOrigin = 64
)

// A limiter gives permits for attempts at deliveries. A destination that has permits
// gets another one only while enough others are free, and the same holds for an owner.
// So nobody can take all of them: a destination that has none gets one at once,
// however many receivers are slow.
type limiter struct {
	all int // permits

	mu           sync.Mutex
	used         int // the maps have the same by destination, epoch, origin and owner
	destinations map[destination]int
	epochs       map[epoch]int
	origins      map[string]int
	owners       map[string]int
}

// An epoch of a destination ends when it is held back. Attempts from before may hang,
// and must not keep away the attempt that probes the destination.
type epoch struct {
	to    destination
	trips int
}

func newLimiter(all int) *limiter {
	return &limiter{all: all, destinations: make(map[destination]int), epochs: make(map[epoch]int), origins: make(map[string]int), owners: make(map[string]int)}
}

// available reports whether there is a free permit at all.
func (l *limiter) available() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used < l.all
}

// acquire gives a destination permits, up to most in its epoch, and returns how many.
// If others are waiting, it gives no more than a share of those that are free. An owner
// may have twice as many permits as are free, and a destination half of those that its
// owner may still get: these limits shrink as more of them take part. The last quarter
// is for destinations that have no permit.
func (l *limiter) acquire(e epoch, most, others int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most = min(most, maxUnderWay, l.epochs[e]+max(1, (l.all-l.used)/(others+1)))
	for l.epochs[e] < most && l.origins[e.to.origin] < maxOfOrigin {
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

// release takes permits back.
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

// add is called with mu held.
func (l *limiter) add(e epoch, n int) {
	l.used += n
	count(l.destinations, e.to, n)
	count(l.epochs, e, n)
	count(l.origins, e.to.origin, n)
	count(l.owners, e.to.owner, n)
}

// count adds n to the value of a key, which has no entry when it is 0.
func count[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
