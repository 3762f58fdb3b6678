package notify

import (
	"context"
	"time"
)

// maxReads is the maximum number of logs that are read concurrently.
const maxReads = 16

// catchUp reads the topic's log, in a new goroutine, until nothing was missed while it was read.
// There is at most one such goroutine per topic.
func (h *Hub) catchUp(t *topic, expected ID) {
	if !t.beginCatchUp(expected) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Go(func() { h.readLog(t) })
	}
}

func (h *Hub) readLog(t *topic) {
	for waited := false; ; {
		events, err := h.read(t)
		done, wait := t.endCatchUp(events, err == nil, waited)
		switch {
		case wait:
			// The publisher may be about to append the missing event.
			if waited = h.sleep(h.maxLag, t.arrived); h.ctx.Err() != nil {
				return
			}
		case !done:
		case err == nil, h.feed.degraded(), h.topic(t.name) != t:
			return // when it recovers, the feed confirms each topic again
		case !h.sleep(retryDelay, nil) || !t.beginCatchUp(ID{}):
			return
		}
	}
}

// read reads the events in the topic's log after the newest known event. The number of concurrent
// reads is limited, because all topics are read after a reconnection.
func (h *Hub) read(t *topic) ([]Event, error) {
	select {
	case h.reads <- struct{}{}:
		defer func() { <-h.reads }()
	case <-h.ctx.Done():
		return nil, h.ctx.Err()
	}
	ctx, cancel := context.WithTimeout(h.ctx, time.Second)
	defer cancel()
	events, err := h.feed.read(ctx, t.name, t.newest())
	if err != nil && h.ctx.Err() == nil {
		h.logger.DebugContext(ctx, "log of events not read", "topic", t.name, "err", err)
	}
	return events, err
}

// sleep waits. It returns false if it is woken early or the hub closes.
func (h *Hub) sleep(d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-woken:
		return false
	case <-h.ctx.Done():
		return false
	}
}
