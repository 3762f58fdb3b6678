package notify

import (
	"math"
	"sync"
)

const (
	// ringEvents and ringBytes limit the newest events that are kept for a watched topic. A viewer
	// that falls further behind gets a snapshot.
	ringEvents = 512
	ringBytes  = 256 << 10
)

// A topic holds the newest events of a watched topic, without a gap.
type topic struct {
	name  string
	ready chan struct{} // closed when the log was read for the first time

	mu            sync.Mutex // guards the fields below
	subscriptions map[*Subscription]struct{}
	ring          ring // each event directly follows the previous one
	base          ID   // the event directly before the ring
	head          ID   // the newest known event

	live     bool          // the feed delivers all later events
	reading  bool          // the log is being read
	reread   bool          // the log must be read once more
	arrived  chan struct{} // has a value if an event arrived while the log is being read
	expected ID            // the newest event that the log should contain
	prepared bool          // whether ready is closed
}

func newTopic(name string) *topic {
	return &topic{
		name: name, ready: make(chan struct{}), arrived: make(chan struct{}, 1),
		subscriptions: make(map[*Subscription]struct{}),
	}
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

// append adds a new event. It returns false if events before it may be missing: then the log must
// be read.
func (t *topic) append(e Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.reading:
		t.reread = true // the reader may or may not see the event
		t.expect(e.ID)
		select {
		case t.arrived <- struct{}{}:
		default:
		}
	case e.ID.Compare(t.head) <= 0:
	case e.Prev == t.head:
		t.push(e)
		t.wakeViewersLocked()
	default:
		return false
	}
	return true
}

func (t *topic) expect(id ID) {
	if t.expected.Compare(id) < 0 {
		t.expected = id
	}
}

// push adds an event to the ring. If events before it are missing, it drops the ring's previous
// content.
func (t *topic) push(e Event) {
	if e.Prev != t.head || t.ring.len() == 0 {
		if t.base = e.Prev; e.Prev.IsZero() {
			t.base = before(e.ID) // the previous event is unknown
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

// before returns the largest id that is smaller than id.
func before(id ID) ID {
	if id.N > 0 {
		return ID{id.Version, id.N - 1}
	}
	return ID{id.Version - 1, math.MaxUint64}
}

// beginCatchUp returns false if the log is already being read.
func (t *topic) beginCatchUp(expected ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expect(expected)
	if t.reading {
		t.reread = true
		return false
	}
	t.reading = true
	return true
}

// endCatchUp adds the events that were read from the log, and reports whether that is all. If not,
// the log must be read again; wait asks for a delay first, because an event is known to exist that
// was not there. With final, that event appears as a gap instead.
func (t *topic) endCatchUp(events []Event, ok, final bool) (done, wait bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.wakeViewersLocked()
	for _, e := range events {
		if e.ID.Compare(t.head) > 0 {
			t.push(e)
		}
	}
	short := t.head.Compare(t.expected) < 0
	switch {
	case ok && t.reread:
		t.reread = false
		return false, false
	case ok && short && !final:
		return false, true
	case short:
		t.ring = ring{}
		t.base, t.head = t.expected, t.expected
	}
	t.reread, t.reading = false, false
	if t.live && !t.prepared {
		t.prepared = true
		close(t.ready)
	}
	return true, false
}

func (t *topic) wakeViewers() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakeViewersLocked()
}

func (t *topic) wakeViewersLocked() {
	for s := range t.subscriptions {
		s.wake()
	}
}

// removeSubscription removes a subscription and returns how many are left.
func (t *topic) removeSubscription(s *Subscription) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.subscriptions, s)
	return len(t.subscriptions)
}
