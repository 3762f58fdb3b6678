package queue

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"coatcheck/jobs"
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

func (b *slowBus) Erase(string) error { return nil }

func newTestRun(b *slowBus) *run {
	q := &Queue{Config: Config{Events: b, Logger: slog.New(slog.DiscardHandler)}}
	return &run{queue: q, job: jobs.Job{ID: "job", Step: 1, Steps: 1, Internal: jobs.Internal{Version: 7}}, version: 7}
}

// A service may say how far it is as often as it likes: viewers get ten
// events a second, and always the last one.
func TestProgressEventsAreRateLimited(t *testing.T) {
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
func TestSlowPublisherKeepsEventOrder(t *testing.T) {
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
		j := jobs.Job{Step: tt.step, Steps: tt.steps}
		if got := j.Overall(tt.percent); got != tt.want {
			t.Errorf("%v %% of step %d of %d: got %v, want %v", tt.percent, tt.step, tt.steps, got, tt.want)
		}
	}
}

// outputOf returns the chunks that a run has published, joined; each is at its
// offset.
func outputOf(t *testing.T, bus *slowBus) string {
	t.Helper()
	var text string
	for i, e := range bus.got {
		var chunk struct {
			Index, Offset int
			Chunk         string
		}
		if err := json.Unmarshal(e.Data, &chunk); err != nil {
			t.Fatal(err)
		}
		if chunk.Index != i || chunk.Offset != len(text) {
			t.Errorf("chunk %d at %d, want %d at %d", chunk.Index, chunk.Offset, i, len(text))
		}
		if len(chunk.Chunk) > jobs.MaxChunk {
			t.Errorf("a chunk of %d bytes", len(chunk.Chunk))
		}
		text += chunk.Chunk
	}
	return text
}

// Characters come whole however their bytes are cut.
func TestOutputKeepsCharacters(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		size       int
		want       string
	}{
		{"byte by byte", "你好🌍 é\x00", 1, "你好🌍 é\x00"},
		{"two bytes each", "a🌍🌍é", 2, "a🌍🌍é"},
		{"no UTF-8", "a\xff\xfeé\xc3(", 1, "a\uFFFD\uFFFDé\uFFFD("},
		{"half a character at the end", "é\xf0\x9f\x8c", 2, "é\uFFFD"},
		{"more than a chunk", strings.Repeat("🌍", 100_000), 400_000, strings.Repeat("🌍", 100_000)},
		{"more than a chunk, shifted", "a" + strings.Repeat("🌍", 100_000), 333_331, "a" + strings.Repeat("🌍", 100_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := new(slowBus)
				r := newTestRun(bus)
				for chunk := range slices.Chunk([]byte(tt.text), tt.size) {
					r.Output(string(chunk))
				}
				r.close()
				if got := outputOf(t, bus); got != tt.want {
					t.Errorf("got %.100q, want %.100q", got, tt.want)
				}
			})
		})
	}
}

// A service that pours out output waits for nobody, takes a bounded part of the
// memory, and leaves room for other jobs on the way to viewers.
func TestOutputIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(slowBus)
		r := newTestRun(bus)
		start := time.Now()
		r.Output(strings.Repeat("x", 40<<20))
		if d := time.Since(start); d != 0 {
			t.Errorf("the service waited %v", d)
		}
		r.close()
		sent := 0
		for _, e := range bus.got {
			sent += len(e.Data)
		}
		if sent < maxPendingBytes || sent > maxPendingBytes+2*jobs.MaxChunk+len(bus.got)*100 {
			t.Errorf("%d bytes sent, want the newest %d", sent, maxPendingBytes)
		}
		if took := time.Since(start); took < maxPendingBytes*time.Second/outputRate/2 {
			t.Errorf("all sent in %v", took)
		}
		if r.last().N != 640 {
			t.Errorf("the newest of %d events, want 640", r.last().N)
		}
	})
}

// Texts are cut between characters.
func TestClip(t *testing.T) {
	for most := 4; most < 19; most++ {
		got := jobs.Clip("aé🌍é🌍é🌍", most)
		if len(got) > most || !utf8.ValidString(got) || strings.Contains(got, "\uFFFD") || !strings.HasSuffix(got, "…") {
			t.Errorf("at %d: got %q", most, got)
		}
	}
}
