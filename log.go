package main

import (
	"io"
	"log/slog"
	"os"

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
