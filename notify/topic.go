package notify

import (
	"math"
	"sync"
)

const (
	// ringEvents and ringBytes bound the newest events that a watched topic
	// keeps. Who falls further behind gets a snapshot.
	ringEvents = 512
	ringBytes  = 256 << 10
)

// A topic holds the newest events of a watched topic, without a gap.
type topic struct {
	name  string
	ready chan struct{} // closed when the log was read for the first time

	mu    sync.Mutex
	views map[*Subscription]struct{}
	ring  ring // each event is the next after the one before
	base  ID   // the one right before the ring
	head  ID   // the newest known

	live     bool          // what is published from now on comes by itself
	reading  bool          // the log is being read
	again    bool          // and must be read once more
	came     chan struct{} // holds a value if an event came while the log is read
	known    ID            // what the log should have
	prepared bool          // ready is closed
}

func newTopic(name string) *topic {
	return &topic{name: name, ready: make(chan struct{}), came: make(chan struct{}, 1), views: make(map[*Subscription]struct{})}
}

func (t *topic) confirm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = true
}

func (t *topic) newest() ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// append takes an event as it comes. It returns false when it can't be told
// whether others are missing before it: then the log must be read.
func (t *topic) append(e Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.reading:
		t.again = true // the reader may or may not see it
		t.know(e.ID)
		select {
		case t.came <- struct{}{}:
		default:
		}
	case e.ID.Compare(t.head) <= 0:
	case e.Prev == t.head:
		t.push(e)
		t.rouseAll()
	default:
		return false
	}
	return true
}

func (t *topic) know(id ID) {
	if t.known.Compare(id) < 0 {
		t.known = id
	}
}

// push adds an event to the ring. What is in it is forgotten when something
// is missing in between.
func (t *topic) push(e Event) {
	if e.Prev != t.head || t.ring.len() == 0 {
		if t.base = e.Prev; e.Prev.IsZero() {
			t.base = before(e.ID) // nobody knows what was there
		}
		if e.Prev != t.head {
			t.ring = ring{}
		}
	}
	t.ring.push(e)
	t.head = e.ID
	for t.ring.len() > ringEvents || t.ring.bytes > ringBytes && t.ring.len() > 1 {
		t.base = t.ring.oldest()
		t.ring.shift()
	}
}

// before returns the largest id that is smaller.
func before(id ID) ID {
	if id.N > 0 {
		return ID{id.Version, id.N - 1}
	}
	return ID{id.Version - 1, math.MaxUint64}
}

// beginCatchUp returns false when somebody reads the log already.
func (t *topic) beginCatchUp(known ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.know(known)
	if t.reading {
		t.again = true
		return false
	}
	t.reading = true
	return true
}

// endCatchUp takes what was read from the log, and returns whether that is
// all. If not, the log must be read again, after a wait when an event is known
// to exist that was not there. With final, that shows as a gap instead.
func (t *topic) endCatchUp(events []Event, ok, final bool) (done, wait bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.rouseAll()
	for _, e := range events {
		if e.ID.Compare(t.head) > 0 {
			t.push(e)
		}
	}
	short := t.head.Compare(t.known) < 0
	switch {
	case ok && t.again:
		t.again = false
		return false, false
	case ok && short && !final:
		return false, true
	case short:
		t.ring = ring{}
		t.base, t.head = t.known, t.known
	}
	t.again, t.reading = false, false
	if t.live && !t.prepared {
		t.prepared = true
		close(t.ready)
	}
	return true, false
}

func (t *topic) rouse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rouseAll()
}

func (t *topic) rouseAll() {
	for s := range t.views {
		s.wake()
	}
}

// leave returns how many views are left.
func (t *topic) leave(s *Subscription) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.views, s)
	return len(t.views)
}
