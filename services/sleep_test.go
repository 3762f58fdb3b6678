package services

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"coatcheck/jobs"
)

// reports keeps what a service says.
type reports struct {
	percent []float64
	lines   []string
}

func (r *reports) Progress(percent float64, _ string, _ any) { r.percent = append(r.percent, percent) }
func (r *reports) Log(_, line string)                        { r.lines = append(r.lines, line) }
func (r *reports) Output(_ string)                           {}

// In a synctest bubble time passes when everybody sleeps, so this takes none.
func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said reports
		start := time.Now()
		out, err := sleep(jobs.WithReporter(t.Context(), &said), sleepInput{Seconds: 90, Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		if out != "hello, Ada" || time.Since(start) != 90*time.Second {
			t.Errorf("got %q after %v, want %q after 1m30s", out, time.Since(start), "hello, Ada")
		}
		if n := len(said.percent); n != 20 || said.percent[0] != 5 || said.percent[n-1] != 100 {
			t.Errorf("progress %v, want 5 to 100 in 20 steps", said.percent)
		}
		if len(said.lines) != 1 || said.lines[0] != "sleeping for 1m30s" {
			t.Errorf("logged %q", said.lines)
		}
	})
}

func TestSleepStopsWhenCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := sleep(ctx, sleepInput{Seconds: 3600}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
		}
		if slept := time.Since(start); slept != 10*time.Second {
			t.Errorf("stopped after %v, want 10s", slept)
		}
	})
}
