package notify

import (
	"context"
	"time"
)

// maxReads is how many logs are read at once.
const maxReads = 16

// catchUp reads the topic's log until nothing was missed while it was read,
// in a goroutine of its own; there is one for a topic at most.
func (h *Hub) catchUp(t *topic, known ID) {
	if !t.beginCatchUp(known) {
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
			// Who publishes may be about to append what is missing.
			if waited = h.sleep(h.late, t.came); h.ctx.Err() != nil {
				return
			}
		case !done:
		case err == nil, h.feed.degraded(), h.topic(t.name) != t:
			return // once it is not degraded any more, the feed confirms each topic
		case !h.sleep(retryDelay, nil) || !t.beginCatchUp(ID{}):
			return
		}
	}
}

// read reads what the log of the topic has beyond what is known. Few do at
// once: after a reconnection, all topics want to.
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

// sleep returns false when it is woken before its time, or the hub closes.
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
