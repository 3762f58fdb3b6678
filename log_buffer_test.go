package main

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A lockedBuffer is written and read by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Lines come a tenth of a second late, together; a warning comes at once, after
// those that were logged before it.
func TestLogBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(lockedBuffer)
		logger, flush := newLogger(defaults(), out)
		lines := func() int {
			synctest.Wait()
			return strings.Count(out.String(), "\n")
		}
		logger.Info("one")
		logger.With("a", 1).WithGroup("g").Info("two", "b", 2)
		if n := lines(); n != 0 {
			t.Errorf("%d lines at once", n)
		}
		time.Sleep(logDelay)
		if n := lines(); n != 2 {
			t.Errorf("%d lines after a while, want 2", n)
		}
		logger.Info("three")
		logger.With("a", 1).Warn("four")
		if n := lines(); n != 4 || !strings.Contains(out.String(), `"msg":"four","a":1`) {
			t.Errorf("%d lines after a warning, want 4: %s", n, out.String())
		}
		logger.Info("five", "x", strings.Repeat("x", maxLogBuffer))
		if n := lines(); n != 5 {
			t.Errorf("%d lines after a long one, want 5", n)
		}
		logger.Info("six")
		flush()
		if n := lines(); n != 6 {
			t.Errorf("%d lines at the end, want 6", n)
		}
	})
}
