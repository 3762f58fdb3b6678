package notify

import (
	"context"
	"fmt"
	"time"
)

// subscribeTimeout is how long a viewer waits for the log. After that it gets the state from the
// database, and later events.
const subscribeTimeout = 500 * time.Millisecond

// A Subscription is a viewer's position in a topic. Its methods must not be called concurrently.
type Subscription struct {
	hub    *Hub
	topic  *topic
	wake   func() // must not block; called with the topic's mutex held
	woken  chan struct{}
	cursor ID // the newest event that was returned
}

// Subscribe returns a subscription to a topic. The caller must set its position with
// [Subscription.Resume], Follow or Start, and must close it.
func (h *Hub) Subscribe(ctx context.Context, topic string) (*Subscription, error) {
	woken := make(chan struct{}, 1)
	subs, err := h.SubscribeAll(ctx, []string{topic}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	subs[0].woken = woken
	return subs[0], nil
}

// SubscribeAll returns subscriptions to topics for one viewer. It calls wake when one of them may
// have something to [Subscription.Take]. wake is called from the goroutine that adds the events and
// must not block.
func (h *Hub) SubscribeAll(ctx context.Context, topics []string, wake func()) ([]*Subscription, error) {
	subs := make([]*Subscription, 0, len(topics))
	for _, name := range topics {
		s, err := h.subscribe(name, wake)
		if err != nil {
			closeAll(subs)
			return nil, err
		}
		subs = append(subs, s)
	}
	wait := subscribeTimeout
	if h.feed.degraded() {
		wait = 0
	}
	timer := time.NewTimer(wait) // shared by all topics
	defer timer.Stop()
	for _, s := range subs {
		select {
		case <-s.topic.ready:
			continue
		default:
		}
		select {
		case <-s.topic.ready:
		case <-timer.C:
			return subs, nil
		case <-ctx.Done():
			closeAll(subs)
			return nil, fmt.Errorf("subscribe: %w", ctx.Err())
		}
	}
	return subs, nil
}

func closeAll(subs []*Subscription) {
	for _, s := range subs {
		s.Close()
	}
}

// Resume continues the subscription after an event. It reports whether the hub has all events that
// follow it. If not, the caller must send a snapshot and call Start.
func (s *Subscription) Resume(after ID) bool {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.ring.len() > 0 && after == t.base || after == t.head && !t.head.IsZero() || t.ring.has(after)
	if known {
		s.cursor = after
	}
	return known
}

// Follow continues the subscription after an event that the hub may not have. Missing events after
// it appear as a gap.
func (s *Subscription) Follow(after ID) {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	if s.cursor.Compare(after) < 0 {
		s.cursor = after
	}
}

// UpToDate reports whether the hub has no event after this one.
func (s *Subscription) UpToDate(id ID) bool { return s.topic.newest().Compare(id) <= 0 }

// Ahead reports whether an event is newer than all that the hub knows of its topic. If so, it
// starts reading the log for newer events.
func (s *Subscription) Ahead(id ID) bool {
	if s.topic.newest().Compare(id) >= 0 {
		return false
	}
	s.hub.catchUp(s.topic, ID{})
	return true
}

// Reset discards the subscription's position.
func (s *Subscription) Reset() { s.cursor = ID{} }

// Start continues the subscription after a snapshot of the state directly after an event. It
// returns the id for the snapshot: a later id if the event is no longer in the log, so that ids
// increase. The position never moves back.
func (s *Subscription) Start(after ID) ID {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	for _, id := range []ID{after, s.topic.base} {
		if s.cursor.Compare(id) < 0 {
			s.cursor = id
		}
	}
	return s.cursor
}

// Take returns the events after the last one that was returned, if any. If gap is true, some are
// missing, and the caller must send a snapshot and call Start. It returns [ErrClosed] if the hub is
// closed.
func (s *Subscription) Take() (events []Event, gap bool, err error) {
	if s.hub.isClosed() {
		return nil, false, ErrClosed
	}
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.cursor.Compare(t.base) < 0 {
		return nil, true, nil
	}
	if events = t.ring.after(s.cursor); len(events) > 0 {
		s.cursor = t.head
	}
	return events, false, nil
}

// Next waits until Take has something to return. It returns the error of ctx if that is done first.
func (s *Subscription) Next(ctx context.Context) (events []Event, gap bool, err error) {
	for {
		if events, gap, err = s.Take(); err != nil || gap || len(events) > 0 {
			return events, gap, err
		}
		select {
		case <-s.woken:
		case <-ctx.Done():
			return nil, false, fmt.Errorf("wait for events: %w", ctx.Err())
		}
	}
}

// Close ends the subscription.
func (s *Subscription) Close() { s.hub.unsubscribe(s) }
