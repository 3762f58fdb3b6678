package queue

import (
	"context"
	"log/slog"
)

// riverLog is a handler for River's log. It drops messages below level warning, which concern only
// River's internals. While the database is unavailable it drops everything, because River would
// report that several times a second.
type riverLog struct {
	slog.Handler
	databaseFailing func(context.Context) bool
}

func (h riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h riverLog) Handle(ctx context.Context, record slog.Record) error {
	if h.databaseFailing(ctx) {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

func (h riverLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return riverLog{h.Handler.WithAttrs(attrs), h.databaseFailing}
}

func (h riverLog) WithGroup(name string) slog.Handler {
	return riverLog{h.Handler.WithGroup(name), h.databaseFailing}
}
