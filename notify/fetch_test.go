package notify

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A pausing reader returns a byte after a pause, or the error of its context.
type pausing struct {
	ctx   context.Context //nolint:containedctx // that of a request
	pause time.Duration
}

// Read implements [io.Reader].
func (r *pausing) Read(p []byte) (int, error) {
	select {
	case <-time.After(r.pause):
		return copy(p, "x"), nil
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

// A download ends when its server sends nothing for a minute, and not before, however long it takes.
func TestIdleDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := newIdleContext(t.Context())
		defer idle.stop()
		slow := &idleReader{&pausing{idle, maxIdle - time.Second}, idle}
		for range 100 {
			if _, err := slow.Read(make([]byte, 1)); err != nil {
				t.Fatalf("a slow server: %v", err)
			}
		}
		start := time.Now()
		silent := &idleReader{&pausing{idle, time.Hour}, idle}
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, errIdle) || time.Since(start) != maxIdle {
			t.Errorf("a silent server: %v after %s", err, time.Since(start))
		}
	})
}
