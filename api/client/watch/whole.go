package watch

import (
	"bytes"
	"io"
	"time"
)

// whole reads whole events only: what was cut off in the middle is discarded,
// as the specification wants it. While it waits for more, the time runs.
type whole struct {
	body    io.ReadCloser
	idle    time.Duration
	silence *time.Timer

	buf   []byte // read and not handed on
	ready int    // how much of it are whole events
	chunk [4096]byte
}

// Read implements [io.Reader].
func (w *whole) Read(p []byte) (int, error) {
	for w.ready == 0 {
		w.silence.Reset(w.idle)
		n, err := w.body.Read(w.chunk[:])
		w.silence.Stop()
		seen := max(0, len(w.buf)-len("\r\n\r"))
		w.buf = append(w.buf, w.chunk[:n]...)
		if end := lastEnd(w.buf[seen:]); end > 0 {
			w.ready = seen + end
			break
		}
		if len(w.buf) > MaxEvent {
			return 0, ErrTooLarge
		}
		if err != nil {
			return 0, err //nolint:wrapcheck // a reader's own error
		}
	}
	n := copy(p, w.buf[:w.ready])
	w.ready -= n
	w.buf = w.buf[n:]
	return n, nil
}

// Close implements [io.Closer].
func (w *whole) Close() error { return w.body.Close() } //nolint:wrapcheck // nothing to add

// lastEnd returns where the last blank line in b ends, or 0.
func lastEnd(b []byte) (end int) {
	for _, blank := range []string{"\n\n", "\r\r", "\n\r\n"} {
		if i := bytes.LastIndex(b, []byte(blank)); i >= 0 {
			end = max(end, i+len(blank))
		}
	}
	return end
}
