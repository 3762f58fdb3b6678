package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrClosed ends subscriptions when the hub closes. Viewers should reconnect and resume at another
// process.
var ErrClosed = errors.New("the hub is closed")

// A feed stores the log of each topic and distributes appended events.
type feed interface {
	// append appends an event to its topic's log and publishes it.
	append(topic string, e Event) error
	// erase deletes a topic's log.
	erase(topic string) error
	// watch starts delivering a topic's events to the hub's received. It does not block. live
	// reports whether this takes effect at once. If not, the feed calls the hub's confirmed when it
	// does, and again whenever it may have missed events.
	watch(topic string) (live bool)
	// unwatch ends watch. It does not block.
	unwatch(topic string)
	// read returns the events of a topic after an id.
	read(ctx context.Context, topic string, after ID) ([]Event, error)
	degraded() bool
	close()
}

// A Hub passes the events of topics from publishers to viewers, without undetected gaps and without
// duplicates.
type Hub struct {
	feed   feed
	logger *slog.Logger
	wg     sync.WaitGroup
	ctx    context.Context //nolint:containedctx // for the goroutines that read logs
	cancel context.CancelFunc
	reads  chan struct{} // one value for each log that is being read
	maxLag time.Duration // how long after its row is committed an event may reach the log

	mu     sync.Mutex        // guards topics and closed
	topics map[string]*topic // topics that have viewers
	closed bool
}

// NewHub returns a hub whose events stay in this process.
func NewHub(logger *slog.Logger) *Hub {
	h := newHub(logger)
	h.feed = newMemory(h)
	return h
}

func newHub(logger *slog.Logger) *Hub {
	h := &Hub{
		logger: logger, topics: make(map[string]*topic), reads: make(chan struct{}, maxReads), maxLag: publishTimeout,
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Publish appends an event to its topic and passes it to the viewers. It returns [ErrStale] if the
// topic has an event that is as new. It waits at most about 200 ms for Redis. After any other
// error, the event is appended when Redis has recovered, unless the outage is long; a lost event
// appears to viewers as a gap.
func (h *Hub) Publish(topic string, e Event) error {
	return h.feed.append(topic, e)
}

// Erase deletes the stored events of a topic. Like [Hub.Publish], it does not wait long for Redis,
// which deletes them when it has recovered.
func (h *Hub) Erase(topic string) error { return h.feed.erase(topic) }

// Degraded reports whether events may be getting lost because Redis is unavailable.
func (h *Hub) Degraded() bool { return h.feed.degraded() }

// subscribe returns a new subscription to a topic.
func (h *Hub) subscribe(name string, wake func()) (*Subscription, error) {
	s, live, err := h.join(name, wake)
	if live {
		h.confirmed(name)
	}
	return s, err
}

func (h *Hub) join(name string, wake func()) (s *Subscription, live bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, false, ErrClosed
	}
	t := h.topics[name]
	if t == nil {
		t = newTopic(name)
		h.topics[name] = t
		live = h.feed.watch(name)
	}
	s = &Subscription{hub: h, topic: t, wake: wake}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscriptions[s] = struct{}{}
	return s, live, nil
}

// Watched returns the topics that have viewers.
func (h *Hub) Watched() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make([]string, 0, len(h.topics))
	for name := range h.topics {
		names = append(names, name)
	}
	return names
}

// Behind reports the newest event id of a topic. If the hub has not received that event, it reads
// the log again. If the event is not there either, viewers get a gap.
func (h *Hub) Behind(name string, newest ID) {
	if t := h.topic(name); t != nil && t.newest().Compare(newest) < 0 {
		h.catchUp(t, newest)
	}
}

// topic returns a topic that has viewers, or nil.
func (h *Hub) topic(name string) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[name]
}

// confirmed is called by the feed when it delivers all later events of a topic, so that all earlier
// ones are in the log.
func (h *Hub) confirmed(name string) {
	if t := h.topic(name); t != nil {
		t.confirm()
		h.catchUp(t, ID{})
	}
}

// received is called by the feed with each new event.
func (h *Hub) received(name string, e Event) {
	t := h.topic(name)
	if t == nil {
		return
	}
	if !t.append(e) {
		h.catchUp(t, e.ID)
	}
}

// Close ends all subscriptions with [ErrClosed] and stops the hub.
func (h *Hub) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	for _, t := range h.topics {
		t.wakeViewers()
	}
	h.mu.Unlock()
	h.cancel()
	h.feed.close()
	h.wg.Wait()
}

func (h *Hub) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// unsubscribe removes a subscription from its topic, and the topic from the hub if it was the last.
func (h *Hub) unsubscribe(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := s.topic
	if t.removeSubscription(s) == 0 && h.topics[t.name] == t {
		delete(h.topics, t.name)
		h.feed.unwatch(t.name)
	}
}
