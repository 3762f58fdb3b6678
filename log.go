package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// newLogger returns the program's logger. By default it writes text to a terminal and
// JSON otherwise. Except on a terminal, lines are written up to logDelay late, so the
// caller must call flush at the end.
func newLogger(c *config, w io.Writer) (logger *slog.Logger, flush func()) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	terminal := isTerminal(w)
	buffer := &logBuffer{w: w}
	if !terminal {
		w = buffer
	}
	var handler slog.Handler = slog.NewJSONHandler(w, options)
	if c.LogFormat == "text" || c.LogFormat == "auto" && terminal {
		handler = slog.NewTextHandler(w, options)
	}
	return slog.New(flushingHandler{handler, buffer}), func() { _ = buffer.flush() }
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const (
	// logDelay is how long a line may stay in the buffer.
	logDelay = 100 * time.Millisecond
	// maxLogBuffer is the size in bytes at which the buffer is written.
	maxLogBuffer = 64 << 10
)

// A logBuffer writes log lines in batches, because a write takes longer than
// formatting a line. Buffered lines are lost if the process is killed.
type logBuffer struct {
	mu    sync.Mutex
	w     io.Writer
	lines []byte
	timer *time.Timer // nil while the buffer is empty
}

// Write implements [io.Writer].
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line...)
	if len(b.lines) >= maxLogBuffer {
		return len(line), b.flushLocked()
	}
	if b.timer == nil {
		b.timer = time.AfterFunc(logDelay, func() { _ = b.flush() })
	}
	return len(line), nil
}

// flush writes the buffered lines.
func (b *logBuffer) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flushLocked()
}

func (b *logBuffer) flushLocked() error {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.w.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}

// A flushingHandler writes warnings and errors at once, together with all lines
// buffered before them.
type flushingHandler struct {
	slog.Handler
	buffer *logBuffer
}

// Handle implements [slog.Handler].
func (h flushingHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if err == nil && r.Level >= slog.LevelWarn {
		err = h.buffer.flush()
	}
	return err
}

// WithAttrs implements [slog.Handler].
func (h flushingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushingHandler{h.Handler.WithAttrs(attrs), h.buffer}
}

// WithGroup implements [slog.Handler].
func (h flushingHandler) WithGroup(name string) slog.Handler {
	return flushingHandler{h.Handler.WithGroup(name), h.buffer}
}
