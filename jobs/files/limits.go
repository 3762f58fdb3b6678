package files

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"coatcheck/jobs"
)

// Limits limit the files of a server.
type Limits struct {
	// File is the maximum size of a file in bytes. Total is that of all files; with several
	// processes, each counts the files of the others about once an hour.
	File, Total int64
}

// A FullError means that the files of all jobs would be too large.
type FullError struct {
	// Limit is the maximum size of all files in bytes.
	Limit int64
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the files of all jobs would have more than %d bytes, the limit files.max_total", e.Limit)
}

// A quota counts the bytes of all files.
type quota struct {
	limits Limits
	used   atomic.Int64
}

// MaxFile implements [Store].
func (q *quota) MaxFile() int64 { return q.limits.File }

// reserve counts bytes as used. Error: a [*FullError].
func (q *quota) reserve(bytes int64) error {
	if q.used.Add(bytes) > q.limits.Total {
		q.used.Add(-bytes)
		return &FullError{q.limits.Total}
	}
	return nil
}

// A limitedWriter writes a file within the limits, and counts its bytes as used.
type limitedWriter struct {
	ctx     context.Context //nolint:containedctx // io.Copy has no context
	quota   *quota
	to      io.Writer
	written int64
}

// readFrom writes what it reads from r. The limits are checked by the writer, so that it need not
// know how much is to come.
func (w *limitedWriter) readFrom(r io.Reader) error {
	_, err := io.Copy(w, struct{ io.Reader }{r})
	return err
}

// Write implements [io.Writer].
func (w *limitedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if limit := w.quota.limits.File; w.written+int64(len(p)) > limit {
		return 0, &jobs.FileLimitError{Limit: limit}
	}
	if err := w.quota.reserve(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.to.Write(p)
	w.quota.used.Add(int64(n - len(p)))
	w.written += int64(n)
	return n, err
}
