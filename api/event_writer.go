package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// An eventWriter buffers and sends the events of a stream, as Server-Sent
// Events or as NDJSON.
type eventWriter struct {
	header       http.Header
	out          eventOutput
	stallTimeout time.Duration
	sent         int    // bytes
	ndjson       bool   // NDJSON instead of Server-Sent Events
	buf          []byte // events not sent yet; nil while the stream is idle
}

func newEventWriter(w http.ResponseWriter, format string, stall time.Duration) *eventWriter {
	return &eventWriter{
		header: w.Header(), out: responseOutput{w, http.NewResponseController(w)}, ndjson: format == ndjson,
		stallTimeout: stall,
	}
}

// An eventOutput is the destination of an eventWriter: an HTTP response or a
// hijacked connection.
type eventOutput interface {
	io.Writer
	Flush() error
	SetWriteDeadline(at time.Time) error
}

type responseOutput struct {
	http.ResponseWriter
	*http.ResponseController
}

// begin sends the response headers and the reconnection time.
func (w *eventWriter) begin(retry time.Duration) error {
	h := w.header
	h.Set("Content-Type", eventStream)
	if w.ndjson {
		h.Set("Content-Type", ndjson)
	}
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	w.appendRetry(retry)
	return w.flush()
}

// appendRetry adds the reconnection time to the buffer. NDJSON has no field for
// it.
func (w *eventWriter) appendRetry(after time.Duration) {
	if !w.ndjson {
		w.buf = append(strconv.AppendInt(append(w.buf, "retry: "...), after.Milliseconds(), 10), "\n\n"...)
	}
}

// appendEvent adds an event to the buffer.
func (w *eventWriter) appendEvent(name, id string, data []byte) error {
	if w.buf == nil {
		w.buf = getBuffer()
	}
	if !w.ndjson {
		w.buf = notify.AppendFrame(w.buf, name, id, data)
		return nil
	}
	line, err := store.Marshal(struct {
		ID    string          `json:"id,omitempty"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{id, name, data})
	if err != nil {
		return fmt.Errorf("render event: %w", err)
	}
	w.buf = append(append(w.buf, line...), '\n')
	return nil
}

// flush sends the buffer. It sets a write deadline and clears it afterwards,
// because HTTP/2 resets a stream whose deadline expires, even if the stream is
// idle.
func (w *eventWriter) flush() error {
	last := time.Now().Add(w.stallTimeout + time.Duration(len(w.buf))*time.Second/minWriteRate)
	for rest := w.buf; ; {
		at := time.Now().Add(w.stallTimeout) // extended while the client keeps reading
		if at.After(last) {
			at = last
		}
		if err := w.setDeadline(at); err != nil {
			return err
		}
		if len(rest) == 0 {
			break
		}
		chunk := rest[:min(len(rest), writeChunkSize)]
		n, err := w.out.Write(chunk)
		if w.sent += n; err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		rest = rest[len(chunk):]
	}
	if w.buf != nil {
		putBuffer(w.buf)
		w.buf = nil
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return w.setDeadline(time.Time{})
}

func (w *eventWriter) setDeadline(at time.Time) error {
	if err := w.out.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	return nil
}

// bufferPool has the buffers of unsent events. Idle streams hold no buffer.
var bufferPool = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() []byte {
	b, _ := bufferPool.Get().(*[]byte)
	return (*b)[:0]
}

func putBuffer(b []byte) {
	if cap(b) <= 2*maxBuffered {
		bufferPool.Put(&b)
	}
}
