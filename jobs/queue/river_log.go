package queue

import (
	"context"
	"log/slog"
	"strings"
)

// riverLog is a handler for River's log. It drops messages below level warning, which concern only
// River's internals, and that a job was canceled, which the end of the job reports. While the database is
// unavailable it drops everything, because River would report that several times a second. Other messages
// about a job get its id: River's own ids are known nowhere else.
type riverLog struct {
	slog.Handler
	queue *Queue
}

// Enabled implements [slog.Handler].
func (h riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h riverLog) Handle(ctx context.Context, record slog.Record) error {
	if h.queue.databaseFailing(ctx) || strings.HasSuffix(record.Message, "job cancelled remotely") {
		return nil
	}
	named := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "job_id" && a.Value.Kind() == slog.KindInt64 {
			if id := h.queue.jobOfRiver(a.Value.Int64()); id != "" {
				named.AddAttrs(slog.String("job", id))
			}
			a.Key = "river_job"
		}
		named.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, named)
}

// WithAttrs implements [slog.Handler].
func (h riverLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return riverLog{h.Handler.WithAttrs(attrs), h.queue}
}

// WithGroup implements [slog.Handler].
func (h riverLog) WithGroup(name string) slog.Handler {
	return riverLog{h.Handler.WithGroup(name), h.queue}
}

// jobOfRiver returns the id of the job that this process runs as a River job; "" if it runs none.
func (q *Queue) jobOfRiver(riverID int64) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.runs {
		if r.job.RiverJobID == riverID {
			return r.job.ID
		}
	}
	return ""
}
