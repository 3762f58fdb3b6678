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

	"coatcheck/notify"
)

// A sink takes the events of a stream to its viewer, in one of two forms.
type sink struct {
	header http.Header
	out    outlet
	stall  time.Duration
	sent   int    // bytes
	lines  bool   // NDJSON instead of Server-Sent Events
	buf    []byte // what is not sent yet; nil while the stream is quiet
}

func newSink(w http.ResponseWriter, format string, stall time.Duration) *sink {
	return &sink{header: w.Header(), out: response{w, http.NewResponseController(w)}, lines: format == ndjson, stall: stall}
}

// An outlet is what a sink writes to: a response, or its wire.
type outlet interface {
	io.Writer
	Flush() error
	SetWriteDeadline(at time.Time) error
}

type response struct {
	http.ResponseWriter
	*http.ResponseController
}

// begin sends the headers, and when to come back after the stream breaks.
func (s *sink) begin(retry time.Duration) error {
	h := s.header
	h.Set("Content-Type", eventStream)
	if s.lines {
		h.Set("Content-Type", ndjson)
	}
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	s.retry(retry)
	return s.flush()
}

// retry says when to come back after the stream breaks. Lines can't say it.
func (s *sink) retry(after time.Duration) {
	if !s.lines {
		s.buf = append(strconv.AppendInt(append(s.buf, "retry: "...), after.Milliseconds(), 10), "\n\n"...)
	}
}

// event adds an event to what is to be sent.
func (s *sink) event(name, id string, data []byte) error {
	if s.buf == nil {
		s.buf = buffer()
	}
	if !s.lines {
		s.buf = notify.AppendFrame(s.buf, name, id, data)
		return nil
	}
	line, err := json.Marshal(struct {
		ID    string          `json:"id,omitempty"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{id, name, data})
	if err != nil {
		return fmt.Errorf("render event: %w", err)
	}
	s.buf = append(append(s.buf, line...), '\n')
	return nil
}

// flush sends what there is. The deadline ends with it: HTTP/2 would end the
// stream when it is over, quiet or not.
func (s *sink) flush() error {
	last := time.Now().Add(s.stall + time.Duration(len(s.buf))*time.Second/answerRate)
	for rest := s.buf; ; {
		at := time.Now().Add(s.stall) // moves on with what is read
		if at.After(last) {
			at = last
		}
		if err := s.deadline(at); err != nil {
			return err
		}
		if len(rest) == 0 {
			break
		}
		piece := rest[:min(len(rest), answerPiece)]
		n, err := s.out.Write(piece)
		if s.sent += n; err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		rest = rest[len(piece):]
	}
	if s.buf != nil {
		release(s.buf)
		s.buf = nil
	}
	if err := s.out.Flush(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return s.deadline(time.Time{})
}

func (s *sink) deadline(at time.Time) error {
	if err := s.out.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set write deadline: %w", err)
	}
	return nil
}

// buffers are for what is about to be sent: the streams that are quiet need
// none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func buffer() []byte {
	b, _ := buffers.Get().(*[]byte)
	return (*b)[:0]
}

func release(b []byte) {
	if cap(b) <= 2*mostUnsent {
		buffers.Put(&b)
	}
}
