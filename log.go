package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// newLogger returns the program's log: text on a terminal, JSON otherwise,
// unless the configuration says so. The caller calls flush at the end: except on
// a terminal, lines are written a tenth of a second late.
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
