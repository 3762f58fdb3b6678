package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// The backlog holds this many events and bytes of data at most; then the
// oldest are lost.
const (
	backlogEvents = 10_000
	backlogBytes  = 16 << 20
)

// errAway is the error of a publisher while Redis is known to be away.
var errAway = errors.New("Redis is away, the event waits") //nolint:staticcheck // a name

// A backlog holds, in order, the events that Redis did not take, until it is
// back: a short absence then leaves no gap, and a long one leaves at least
// the newest event of each topic that said something since.
type backlog struct {
	mu     sync.Mutex
	queue  []lateEvent
	topics map[string]int // how many events of each
	bytes  int
	down   bool
	filled chan struct{}
}

type lateEvent struct {
	topic string
	Event
}

// behind adds the event if it can't be sent now: because Redis is away, or
// because others of its topic must come first.
func (b *backlog) behind(topic string, e Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down && b.topics[topic] == 0 {
		return false
	}
	b.put(topic, e)
	return true
}

// add adds an event that could not be sent.
func (b *backlog) add(topic string, e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	b.put(topic, e)
}

func (b *backlog) put(topic string, e Event) {
	if b.topics == nil {
		b.topics = make(map[string]int)
	}
	b.queue = append(b.queue, lateEvent{topic, e})
	b.topics[topic]++
	b.bytes += len(e.Data)
	for len(b.queue) > backlogEvents || b.bytes > backlogBytes && len(b.queue) > 1 {
		b.drop(1)
	}
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

// drop takes away the first n.
func (b *backlog) drop(n int) {
	for _, e := range b.queue[:n] {
		if b.topics[e.topic]--; b.topics[e.topic] == 0 {
			delete(b.topics, e.topic)
		}
		b.bytes -= len(e.Data)
	}
	if b.queue = b.queue[n:]; len(b.queue) == 0 {
		b.queue = nil
	}
}

func (b *backlog) away() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down
}

// first returns the oldest event.
func (b *backlog) first() (e lateEvent, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return e, false
	}
	return b.queue[0], true
}

// settled takes an event away that Redis has taken or refused.
func (b *backlog) settled(e lateEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = false
	if len(b.queue) > 0 && b.queue[0].topic == e.topic && b.queue[0].ID == e.ID {
		b.drop(1)
	}
}

// resend sends what is in the backlog.
func (f *redisFeed) resend(ctx context.Context) {
	for ctx.Err() == nil {
		e, ok := f.backlog.first()
		if !ok {
			select {
			case <-f.backlog.filled:
			case <-ctx.Done():
			}
			continue
		}
		err := f.send(ctx, e.topic, e.Event)
		if !passing(err) {
			f.backlog.settled(e)
			continue
		}
		select {
		case <-time.After(retryDelay):
		case <-ctx.Done():
		}
	}
}

// passing reports whether what went wrong when an event was sent is Redis's
// trouble for a while, and not the event's for good.
func passing(err error) bool {
	if err == nil || errors.Is(err, ErrStale) {
		return false
	}
	if _, ok := errors.AsType[redis.Error](err); !ok {
		return true // no answer
	}
	return slices.ContainsFunc([]string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY"}, func(prefix string) bool {
		return redis.HasErrorPrefix(err, prefix)
	})
}
