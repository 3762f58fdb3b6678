package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrClosed ends subscriptions when the hub closes: viewers should come back
// and find their place elsewhere.
var ErrClosed = errors.New("the hub is closed")

// A feed keeps the log of each topic and tells of what is appended to it.
type feed interface {
	// append adds an event to its topic's log and tells those who watch.
	append(topic string, e Event) error
	// erase deletes a topic's log.
	erase(topic string) error
	// watch asks to be told of a topic by the hub's received. It does not
	// wait: live says whether that works at once; if not, the feed calls the
	// hub's confirmed, as it does when it may have missed something.
	watch(topic string) (live bool)
	// unwatch takes that back, without waiting.
	unwatch(topic string)
	// read returns the events of a topic after an id.
	read(ctx context.Context, topic string, after ID) ([]Event, error)
	degraded() bool
	close()
}

// A Hub passes the events of topics from publishers to viewers, without a gap
// that is not shown and without a duplicate.
type Hub struct {
	feed   feed
	logger *slog.Logger
	wg     sync.WaitGroup
	ctx    context.Context //nolint:containedctx // of the goroutines that read logs
	cancel context.CancelFunc
	reads  chan struct{} // one for each log that is being read
	late   time.Duration // how long after its row an event may come into the log

	mu     sync.Mutex
	topics map[string]*topic // those with viewers
	closed bool
}

// NewHub returns a hub whose events stay in this process.
func NewHub(logger *slog.Logger) *Hub {
	h := newHub(logger)
	h.feed = newMemory(h)
	return h
}

func newHub(logger *slog.Logger) *Hub {
	h := &Hub{logger: logger, topics: make(map[string]*topic), reads: make(chan struct{}, maxReads), late: publishTimeout}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Publish appends an event to its topic and tells the viewers. It returns
// [ErrStale] when the topic has an event as new. It does not wait longer than
// about 200 ms for Redis: after an error, the event is appended when Redis is back,
// if it does not stay away for long; else its loss shows to viewers as a gap.
func (h *Hub) Publish(topic string, e Event) error {
	return h.feed.append(topic, e)
}

// Erase deletes what is kept of a topic's events. Like [Hub.Publish], it does
// not wait long for Redis, which deletes them when it is back.
func (h *Hub) Erase(topic string) error { return h.feed.erase(topic) }

// Degraded reports whether events are known to go missing, because Redis is
// away.
func (h *Hub) Degraded() bool { return h.feed.degraded() }

// view returns a new view of a topic.
func (h *Hub) view(name string, wake func()) (*Subscription, error) {
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
	t.views[s] = struct{}{}
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

// Behind says that the topic has an event this new: viewers who have not seen
// it read the log again, and are told of a gap if it is not there either.
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

// confirmed is called by the feed when it tells of a topic from now on, so
// that what came before is in the log.
func (h *Hub) confirmed(name string) {
	if t := h.topic(name); t != nil {
		t.confirm()
		h.catchUp(t, ID{})
	}
}

// received is called by the feed with each event as it comes.
func (h *Hub) received(name string, e Event) {
	t := h.topic(name)
	if t == nil {
		return
	}
	if !t.append(e) {
		h.catchUp(t, e.ID)
	}
}

// Close ends all subscriptions with [ErrClosed], and everything else.
func (h *Hub) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	for _, t := range h.topics {
		t.rouse()
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

// leave takes a view off its topic, and the topic off the hub with its last.
func (h *Hub) leave(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := s.topic
	if t.leave(s) == 0 && h.topics[t.name] == t {
		delete(h.topics, t.name)
		h.feed.unwatch(t.name)
	}
}
