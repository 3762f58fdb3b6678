package jobs

import (
	"context"
	"log/slog"
)

// quiet is a handler for River's log. It drops messages below level warning, which concern only
// River's internals. While the database is unavailable it drops everything, because River would
// report that several times a second.
type quiet struct {
	slog.Handler
	away func(context.Context) bool
}

func (h quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h quiet) Handle(ctx context.Context, record slog.Record) error {
	if h.away(ctx) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

func (h quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{h.Handler.WithAttrs(attrs), h.away}
}

func (h quiet) WithGroup(name string) slog.Handler {
	return quiet{h.Handler.WithGroup(name), h.away}
}
