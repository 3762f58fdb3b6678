package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"coatcheck/api/client"
)

// A measurement is what came of a load.
type measurement struct {
	mu      sync.Mutex
	latency *hdrhistogram.Histogram // microseconds, from when the call was due
	lag     *hdrhistogram.Histogram // microseconds that the generator was late itself
	errors  map[string]int
	took    time.Duration
	made    int64 // calls, also those of the warm-up
}

func newMeasurement() *measurement {
	hour := time.Hour.Microseconds()
	return &measurement{latency: hdrhistogram.New(1, hour, 3), lag: hdrhistogram.New(1, hour, 3), errors: make(map[string]int)}
}

// add counts a call that was due, began and ended.
func (m *measurement) add(due, began, ended time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.errors[client.Brief(err)]++
		return
	}
	// Neither fails: nothing here takes longer than the histogram's hour.
	_ = m.latency.RecordValue(max(1, ended.Sub(due).Microseconds()))
	_ = m.lag.RecordValue(max(1, began.Sub(due).Microseconds()))
}

// record counts something that was seen so long after it was said.
func (m *measurement) record(latency time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.latency.RecordValue(max(1, latency.Microseconds()))
}

// watchLag records how late this process does what it wants to do each
// millisecond, until ctx is done.
func (m *measurement) watchLag(ctx context.Context) {
	for due := time.Now(); ctx.Err() == nil; due = due.Add(time.Millisecond) {
		time.Sleep(time.Until(due))
		m.mu.Lock()
		_ = m.lag.RecordValue(max(1, time.Since(due).Microseconds()))
		m.mu.Unlock()
	}
}

// fail counts an error n times.
func (m *measurement) fail(err error, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > 0 {
		m.errors[client.Brief(err)] += n
	}
}

// load calls op for the warm-up and the duration, and measures the latter:
// with a rate by the clock (an open loop, in which a slow answer makes others
// wait and shows), else from each caller as soon as it has its answer.
func (b *bench) load(ctx context.Context, op operation) (*measurement, error) {
	measured := newMeasurement()
	start := time.Now().Add(b.warmUp)
	end := start.Add(b.duration)
	var done atomic.Int64
	call := func(due time.Time) {
		began := time.Now()
		err := op(ctx, due)
		done.Add(1)
		if ended := time.Now(); !due.Before(start) && ctx.Err() == nil {
			measured.add(due, began, ended, err)
		}
	}
	stop := b.showProgress("calls", &done, end)
	due := b.clock(ctx, start, end, measured)
	var wg sync.WaitGroup
	for range b.callers {
		wg.Go(func() {
			if b.rate > 0 {
				for at := range due {
					call(at)
				}
				return
			}
			for now := time.Now(); now.Before(end) && ctx.Err() == nil; now = time.Now() {
				call(now)
			}
		})
	}
	wg.Wait()
	stop()
	measured.took, measured.made = time.Since(start), done.Load()
	return measured, ctx.Err()
}

// overtime is how long, at least, callers may be behind the clock at the end.
const overtime = 30 * time.Second

// clock sends when calls are due, and is closed at the end. Calls that no
// caller is free for wait in it, and their latency grows; those that still
// wait long after the end are not made, which is an error.
func (b *bench) clock(ctx context.Context, start, end time.Time, measured *measurement) <-chan time.Time {
	due := make(chan time.Time)
	if b.rate == 0 {
		close(due)
		return due
	}
	go func() {
		defer close(due)
		interval := time.Duration(float64(time.Second) / b.rate)
		giveUp := time.NewTimer(time.Until(end) + max(b.duration, overtime))
		defer giveUp.Stop()
		for next := time.Now(); next.Before(end); next = next.Add(interval) {
			time.Sleep(time.Until(next))
			select {
			case due <- next:
			case <-ctx.Done():
				return
			case <-giveUp.C:
				measured.fail(errors.New("not made: all callers were busy"), 1+int(end.Sub(later(next, start))/interval))
				return
			}
		}
	}()
	return due
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// showProgress says on a terminal, every second, how far it is.
func (b *bench) showProgress(what string, done *atomic.Int64, end time.Time) (stop func()) {
	if !b.Terminal {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		last := int64(0)
		for {
			select {
			case <-ticker.C:
				n := done.Load()
				fmt.Fprintf(b.Stderr, "\r%8d %s, %6d in the last second", n, what, n-last)
				if !end.IsZero() {
					fmt.Fprintf(b.Stderr, ", %s to go", max(0, time.Until(end)).Round(time.Second))
				}
				fmt.Fprint(b.Stderr, "\x1b[K")
				last = n
			case <-quit:
				fmt.Fprint(b.Stderr, "\r\x1b[K")
				return
			}
		}
	}()
	return func() { close(quit); <-gone }
}
