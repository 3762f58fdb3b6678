package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coatcheck/api/client"
)

// An eventBench measures live events at viewers of its own.
type eventBench struct {
	*bench
	parts                   []string
	viewers, streams, pairs int
	eventRate               float64
	size                    int
}

// eventParts are what it can measure.
var eventParts = []string{"idle", "fan-out", "streams", "stalled"}

// stalledViewers do not read what others get at stalledRate and in
// stalledSize, which is so much that what the network can hold is soon full.
const stalledViewers, stalledRate, stalledSize = 10, 300, 3500

func (e *eventBench) prepare() error {
	if err := e.bench.prepare(); err != nil {
		return err
	}
	for _, part := range e.parts {
		if !slices.Contains(eventParts, part) {
			return client.BadArgument(fmt.Errorf("--part: expected some of %q", eventParts))
		}
	}
	if min(e.viewers, e.streams, e.pairs) < 1 || max(e.viewers, e.streams) > 100_000 || e.eventRate < 0.1 || e.eventRate > 1000 || e.size < 0 || e.size > 15_000 {
		return client.BadArgument(errors.New("expected 1 to 100000 --viewers and --streams, an --event-rate of 0.1 to 1000, an --event-size of at most 15000, and at least one of --pairs"))
	}
	return nil
}

// run measures all that was asked for.
func (e *eventBench) run(ctx context.Context) error {
	for _, part := range e.parts {
		var err error
		switch part {
		case "idle":
			err = e.idle(ctx)
		case "fan-out":
			err = e.live(ctx, &eventRound{name: part, jobs: 1, viewers: e.viewers, rate: e.eventRate, size: e.size})
		case "streams":
			err = e.live(ctx, &eventRound{name: part, jobs: e.streams, viewers: e.streams, rate: e.eventRate, size: e.size})
		case "stalled":
			err = e.stalled(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// live measures how long events take to those who watch.
func (e *eventBench) live(ctx context.Context, r *eventRound) error {
	f, err := e.measureLive(ctx, r)
	if err != nil {
		return err
	}
	return e.print(f)
}

func (e *eventBench) measureLive(ctx context.Context, r *eventRound) (figure, error) {
	err := r.run(ctx, e.bench, func(ctx context.Context) error {
		start := time.Now().Add(e.warmUp)
		end := start.Add(e.duration)
		r.from.Store(start.UnixNano())
		r.to.Store(end.UnixNano())
		defer e.showProgress("events", &r.seen, end)()
		ctx, cancel := context.WithDeadline(ctx, end)
		defer cancel()
		r.measured.watchLag(ctx)
		return nil
	})
	r.measured.took = e.duration
	f := r.measured.figure(r.name)
	f.Passed = r.passed.Load()
	return f, err
}

// stalled measures without and with viewers that have stalled, by turns, and
// compares the medians.
func (e *eventBench) stalled(ctx context.Context) error {
	var without, with []float64
	for range e.pairs {
		for _, stalled := range []int{0, stalledViewers} {
			r := &eventRound{name: fmt.Sprintf("%d stalled", stalled), jobs: 1, viewers: 1, stalled: stalled, rate: stalledRate, size: stalledSize}
			f, err := e.measureLive(ctx, r)
			if err == nil {
				err = e.print(f)
			}
			if err != nil {
				return err
			}
			if stalled == 0 {
				without = append(without, f.P99)
			} else {
				with = append(with, f.P99)
			}
		}
	}
	if e.json {
		return nil
	}
	_, err := fmt.Fprintf(e.Stdout, "p99 of a healthy viewer, medians: %.2f ms without, %.2f ms with %d that have stalled\n", median(without), median(with), stalledViewers)
	return err
}
