package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// The outbox holds this many events and bytes of data at most; then the
	// oldest are lost.
	outboxEvents = 10_000
	outboxBytes  = 16 << 20
	// batchEvents and batchBytes are how much goes to Redis together at most:
	// more would keep it from others for too long, or not be done in time.
	batchEvents = 128
	batchBytes  = 256 << 10
)

var (
	// errAway is the error of a publisher while Redis is away.
	errAway   = errors.New("Redis is away, the event waits") //nolint:staticcheck // a name
	errClosed = errors.New("the hub is closed, the event is lost")
)

// An outbox holds, in order, the events that are to go to Redis. Those that
// Redis does not take wait until it is back: a short absence then leaves no
// gap, and a long one leaves at least the newest events.
type outbox struct {
	filled chan struct{}

	mu     sync.Mutex
	queue  []sending
	bytes  int
	down   bool // publishers do not wait
	closed bool
}

// A sending is an event on its way to Redis.
type sending struct {
	topic string
	event Event
	since time.Time  // when its publisher began to wait
	done  chan error // nil when nobody waits
}

func (s *sending) answer(err error) {
	if s.done != nil {
		s.done <- err
		s.done = nil
	}
}

// put adds an event, and waits until Redis has it or is known to be away: about
// publishTimeout at most.
func (o *outbox) put(topic string, e Event) error {
	done, _ := answers.Get().(chan error)
	defer answers.Put(done)
	o.mu.Lock()
	switch {
	case o.closed:
		done <- errClosed
	case o.down:
		o.add(sending{topic: topic, event: e})
		done <- errAway
	default:
		o.add(sending{topic, e, time.Now(), done})
	}
	o.mu.Unlock()
	return <-done
}

// answers are used again: each event needs one.
var answers = sync.Pool{New: func() any { return make(chan error, 1) }}

// add adds to the queue; the outbox is locked.
func (o *outbox) add(s ...sending) {
	o.queue = append(o.queue, s...)
	for _, s := range s {
		o.bytes += len(s.event.Data)
	}
	for len(o.queue) > outboxEvents || o.bytes > outboxBytes && len(o.queue) > 1 {
		o.queue[0].answer(errAway)
		o.bytes -= len(o.queue[0].event.Data)
		o.queue[0] = sending{} // it goes with the next growth
		o.queue = o.queue[1:]
	}
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// take takes out the oldest events, into the place of a batch before.
func (o *outbox) take(batch []sending) []sending {
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

// putBack puts events, which Redis did not take, where they were. From now on
// nobody waits for it.
func (o *outbox) putBack(batch []sending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = true
	queue := slices.Concat(batch, o.queue)
	for i := range queue {
		queue[i].answer(errAway)
	}
	o.queue, o.bytes = nil, 0
	o.add(queue...)
}

// sent says that Redis is there. Publishers wait for it again when it has
// nearly all that there was.
func (o *outbox) sent() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) < batchEvents {
		o.down = false
	}
}

// away reports whether Redis did not take the last events, or lacks many
// since.
func (o *outbox) away() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for i := range o.queue {
		o.queue[i].answer(errClosed)
	}
	o.queue = nil
}

// idle reports whether nothing waits for Redis.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.queue) == 0
}

// empty sends what is in the outbox, until ctx is done.
func (o *outbox) empty(ctx context.Context, send func(context.Context, []sending) error) {
	defer o.close()
	var batch []sending
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
			o.sent()
		} else {
			o.putBack(batch)
		}
		clear(batch) // nothing else may come for long
		if err != nil {
			select {
			case <-time.After(retryDelay):
			case <-ctx.Done():
			}
		}
	}
}
