package notify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// batchEvents is how many events go to Redis together at most.
const batchEvents = 256

// A sending is an event on its way to Redis.
type sending struct {
	topic string
	event Event
	done  chan error
}

// send hands the event to the one that sends, and waits until Redis has it.
// Those that come while others are being sent go together, in one round trip.
func (f *redisFeed) send(ctx context.Context, topic string, e Event) error {
	timer, _ := timers.Get().(*time.Timer)
	timer.Reset(publishTimeout)
	defer func() { timer.Stop(); timers.Put(timer) }()
	s := sending{topic, e, make(chan error, 1)}
	select {
	case f.sendings <- s:
	case <-timer.C:
		return errLate
	case <-ctx.Done():
		return fmt.Errorf("publish to Redis: %w", ctx.Err())
	}
	select {
	case err := <-s.done:
		return err
	case <-timer.C: // it may arrive yet; who sends it again is told that it is stale
		return errLate
	case <-ctx.Done():
		return fmt.Errorf("publish to Redis: %w", ctx.Err())
	}
}

// errLate means that Redis did not answer in time.
var errLate = fmt.Errorf("publish to Redis: no answer in %s", publishTimeout)

// timers are used again: each event needs one.
var timers = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}

// sendBatches sends what is handed to it.
func (f *redisFeed) sendBatches(ctx context.Context) {
	for {
		select {
		case first := <-f.sendings:
			f.sendBatch(ctx, f.fill([]sending{first}))
		case <-ctx.Done():
			return
		}
	}
}

// fill adds what waits to the batch.
func (f *redisFeed) fill(batch []sending) []sending {
	for len(batch) < batchEvents {
		select {
		case s := <-f.sendings:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

// sendBatch appends events to their logs, in order. What went wrong with one
// is no matter for the others.
func (f *redisFeed) sendBatch(ctx context.Context, batch []sending) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	run := appendScript.EvalSha
	for again := false; ; again = true {
		answers := make([]*redis.Cmd, len(batch))
		f.client.Pipelined(ctx, func(p redis.Pipeliner) error { //nolint:errcheck // each answer has its own
			for i, s := range batch {
				answers[i] = run(ctx, p, []string{f.log(s.topic), f.channel(s.topic)},
					s.event.ID.String(), s.event.Prev.String(), s.event.Name, s.event.Data, logEvents, logAge.Milliseconds())
			}
			return nil
		})
		var missing []sending
		for i, s := range batch {
			text, err := answers[i].Text()
			if redis.HasErrorPrefix(err, "NOSCRIPT") && !again {
				missing = append(missing, s)
				continue
			}
			s.done <- settled(text, err)
		}
		if missing == nil {
			return
		}
		batch, run = missing, appendScript.Eval // which Redis remembers
	}
}

// settled returns what came of a call of the script.
func settled(answer string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("publish to Redis: %w", err)
	case answer == "stale":
		return ErrStale
	}
	return nil
}
