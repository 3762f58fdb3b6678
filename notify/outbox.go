package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// The outbox holds at most this many events and bytes of data; beyond that, the oldest events
	// are lost.
	outboxEvents = 10_000
	outboxBytes  = 16 << 20
	// batchEvents and batchBytes limit what is sent to Redis at once: more would block Redis for
	// too long or exceed the timeout.
	batchEvents = 128
	batchBytes  = 256 << 10
)

var (
	// errUnavailable is returned to publishers while Redis is unavailable.
	errUnavailable = errors.New("Redis is unavailable, the event waits") //nolint:staticcheck // a name
	errClosed      = errors.New("the hub is closed, the event is lost")
)

// An outbox holds the events to send to Redis, in order. Events that Redis does not accept wait
// until it recovers: a short outage leaves no gap, and a long one loses only the oldest events.
type outbox struct {
	filled chan struct{}

	mu     sync.Mutex // guards the fields below
	queue  []queuedEvent
	bytes  int
	down   bool // Redis is unavailable: publishers do not wait
	closed bool
}

// A queuedEvent is an event in the outbox.
type queuedEvent struct {
	topic string
	event Event
	since time.Time  // when its publisher began to wait
	done  chan error // nil if no publisher waits
}

func (s *queuedEvent) reply(err error) {
	if s.done != nil {
		s.done <- err
		s.done = nil
	}
}

// put adds an event. It waits until Redis has accepted it or is known to be unavailable, for about
// publishTimeout at most.
func (o *outbox) put(topic string, e Event) error {
	done, _ := replies.Get().(chan error)
	defer replies.Put(done)
	o.mu.Lock()
	switch {
	case o.closed:
		done <- errClosed
	case o.down:
		o.add(queuedEvent{topic: topic, event: e})
		done <- errUnavailable
	default:
		o.add(queuedEvent{topic, e, time.Now(), done})
	}
	o.mu.Unlock()
	return <-done
}

// replies pools channels, because each event needs one.
var replies = sync.Pool{New: func() any { return make(chan error, 1) }}

// add appends to the queue. o.mu must be held.
func (o *outbox) add(s ...queuedEvent) {
	o.queue = append(o.queue, s...)
	for _, s := range s {
		o.bytes += len(s.event.Data)
	}
	for len(o.queue) > outboxEvents || o.bytes > outboxBytes && len(o.queue) > 1 {
		o.queue[0].reply(errUnavailable)
		o.bytes -= len(o.queue[0].event.Data)
		o.queue[0] = queuedEvent{} // releases the data; the entry is freed when the queue grows
		o.queue = o.queue[1:]
	}
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// take removes and returns the oldest events. It reuses the memory of a previous batch.
func (o *outbox) take(batch []queuedEvent) []queuedEvent {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch = batch[:0]
	for bytes := 0; len(batch) < min(len(o.queue), batchEvents); {
		next := o.queue[len(batch)]
		if bytes += len(next.event.Data); bytes > batchBytes && len(batch) > 0 {
			break
		}
		batch = append(batch, next)
		o.bytes -= len(next.event.Data)
	}
	if o.queue = slices.Delete(o.queue, 0, len(batch)); cap(o.queue) > outboxEvents/10 && len(o.queue) == 0 {
		o.queue = nil
	}
	return batch
}

// requeue returns events that Redis did not accept to the front of the queue. From now on,
// publishers do not wait for Redis.
func (o *outbox) requeue(batch []queuedEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = true
	queue := slices.Concat(batch, o.queue)
	for i := range queue {
		queue[i].reply(errUnavailable)
	}
	o.queue, o.bytes = nil, 0
	o.add(queue...)
}

// markAvailable records that Redis is available. Publishers wait for it again once it has received
// nearly all events.
func (o *outbox) markAvailable() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) < batchEvents {
		o.down = false
	}
}

// unavailable reports whether Redis did not accept the last events, or still lacks many since then.
func (o *outbox) unavailable() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for i := range o.queue {
		o.queue[i].reply(errClosed)
	}
	o.queue = nil
}

// idle reports whether the queue is empty.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue) == 0
}

// run sends the events in the outbox until ctx is done.
func (o *outbox) run(ctx context.Context, send func(context.Context, []queuedEvent) error) {
	defer o.close()
	var batch []queuedEvent
	for ctx.Err() == nil {
		batch = o.take(batch)
		if len(batch) == 0 {
			select {
			case <-o.filled:
			case <-ctx.Done():
			}
			continue
		}
		err := send(ctx, batch)
		if err == nil {
			o.markAvailable()
		} else {
			o.requeue(batch)
		}
		clear(batch) // releases the events: the next batch may come much later
		if err != nil {
			select {
			case <-time.After(retryDelay):
			case <-ctx.Done():
			}
		}
	}
}
