package jobs

import (
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"coatcheck/notify"
)

// slowBus takes a while for each event, as Redis may.
type slowBus struct {
	delay time.Duration
	got   []notify.Event
	at    []time.Time
}

func (b *slowBus) Publish(_ string, e notify.Event) error {
	time.Sleep(b.delay)
	b.got, b.at = append(b.got, e), append(b.at, time.Now())
	return nil
}

func newTestRun(b *slowBus) *run {
	q := &Queue{Config: Config{Events: b, Logger: slog.New(slog.DiscardHandler)}}
	return &run{queue: q, job: Job{ID: "job", Step: 1, Steps: 1, version: 7}, version: 7}
}

// A service may say how far it is as often as it likes: viewers get ten
// events a second, and always the last one.
func TestProgressIsThinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(slowBus)
		r := newTestRun(bus)
		for i := range 1001 {
			r.Progress(float64(i)/10, "", nil)
			time.Sleep(time.Millisecond)
		}
		r.close()
		if n := len(bus.got); n < 10 || n > 12 {
			t.Errorf("%d events in a second, want 10 or so", n)
		}
		for i := 1; i < len(bus.at)-1; i++ {
			if d := bus.at[i].Sub(bus.at[i-1]); d < progressInterval {
				t.Errorf("event %d came %v after the one before", i, d)
			}
		}
		if r.report().Percent != 100 {
			t.Errorf("last report %v, want 100", r.report().Percent)
		}
		if last := bus.got[len(bus.got)-1]; last.ID != r.last() || string(last.Data[:33]) != `{"type":"progress","percent":100,` {
			t.Errorf("last event %s %s", last.ID, last.Data)
		}
	})
}

// The service does not wait for a slow bus, and what is lost shows in the ids.
func TestSlowBusLosesNoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &slowBus{delay: 200 * time.Millisecond}
		r := newTestRun(bus)
		start := time.Now()
		for i := range 2 * maxPending {
			r.Log("info", strconv.Itoa(i))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the service waited %v", d)
		}
		r.close()
		if !slices.IsSortedFunc(bus.got, func(a, b notify.Event) int { return a.ID.Compare(b.ID) }) {
			t.Error("the events are out of order")
		}
		gaps, prev := 0, notify.ID{Version: 7}
		for _, e := range bus.got {
			if e.Prev != prev {
				gaps++
			}
			if e.Prev.N+1 != e.ID.N {
				t.Errorf("event %s says it follows %s", e.ID, e.Prev)
			}
			prev = e.ID
		}
		if len(bus.got) >= 2*maxPending || gaps == 0 {
			t.Errorf("%d events with %d gaps, want fewer than %d with a gap", len(bus.got), gaps, 2*maxPending)
		}
		if r.last().N != 2*maxPending {
			t.Errorf("counted %d events, want %d", r.last().N, 2*maxPending)
		}
	})
}

func TestOverallProgress(t *testing.T) {
	tests := []struct {
		step, steps   int
		percent, want float64
	}{
		{1, 1, 40, 40},
		{1, 2, 50, 25},
		{2, 2, 50, 75},
		{1, 1, -5, 0},
		{1, 1, 1e9, 100},
	}
	for _, tt := range tests {
		j := Job{Step: tt.step, Steps: tt.steps}
		if got := j.overall(tt.percent); got != tt.want {
			t.Errorf("%v %% of step %d of %d: got %v, want %v", tt.percent, tt.step, tt.steps, got, tt.want)
		}
	}
}
