package api

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

const (
	// bodyRate is how many bytes of a body must arrive in a second, beside
	// BodyTimeout.
	minBodyRate = 128 << 10
	// leftoverTimeout is how long an answer to a request whose body was not read
	// waits for the rest of it, for the sake of the connection's next request.
	discardTimeout = 2 * time.Second
	// probeTimeout is how long a body of unknown length may take to turn out to
	// be empty.
	emptyBodyTimeout = 500 * time.Millisecond
	// answerPiece is how many bytes of an answer are written with one deadline.
	writeChunkSize = 64 << 10
	// answerRate is how many bytes of an answer must be read in a second, beside
	// Stall: an answer takes memory until it is read.
	minWriteRate = 16 << 10
)

// bodyTime is how long the body of a request may take to arrive.
func (a *API) bodyReadTimeout() time.Duration {
	return a.BodyTimeout + time.Duration(a.MaxBody)*time.Second/minBodyRate
}

// paced sets deadlines for a request: its body must arrive in time, whether or
// not a handler reads it, and each piece of the response must be read in time. A
// GET or HEAD request with a body is refused, because handlers ignore it.
func (a *API) dw(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww, ok := w.(middleware.WrapResponseWriter)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		dw := &deadlineWriter{WrapResponseWriter: ww, control: http.NewResponseController(w), stallTimeout: a.streams.limits.Stall}
		if r.ProtoMajor == 1 { // where a deadline that has passed harms only what is written after it
			dw.extend() // it may be that of the request before
		}
		defer dw.extend() // for what is still in a buffer
		if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(dw, r)
			return
		}
		dw.body = &deadlineBody{ReadCloser: r.Body, control: dw.control, conn: connectionOf(r.Context())}
		dw.body.begin(a.bodyReadTimeout())
		if r.ProtoMajor > 1 { // else the connection waits for the rest of it
			defer dw.body.end()
		}
		if (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.ContentLength > 0 || dw.body.hasData()) {
			_ = dw.control.EnableFullDuplex() // the answer does not wait for the body
			w.Header().Set("Connection", "close")
			a.writeProblem(dw, r, newProblem("bad-request", "expected a "+r.Method+" request without a body"))
			return
		}
		r.Body = dw.body
		next.ServeHTTP(dw, r)
		dw.discardBody(r)
	})
}

// A pacedBody is the body of a request that has a deadline until it is read.
type deadlineBody struct {
	io.ReadCloser
	control *http.ResponseController
	conn    *connection // nil if connections are not counted
	ended   atomic.Bool
}

func (b *deadlineBody) begin(limit time.Duration) {
	_ = b.control.SetReadDeadline(time.Now().Add(limit)) // recorders in tests have none
	if b.conn != nil {
		b.conn.pendingBodies.Add(1)
		b.conn.set.wakeAccept()
	}
}

// has reports whether there is a body at all. One of unknown length may turn out
// to be empty.
func (b *deadlineBody) hasData() bool {
	_ = b.control.SetReadDeadline(time.Now().Add(emptyBodyTimeout))
	n, err := b.Read(make([]byte, 1))
	return n > 0 || !errors.Is(err, io.EOF)
}

// end marks the body as complete, or as no longer expected.
func (b *deadlineBody) end() {
	if b.ended.CompareAndSwap(false, true) && b.conn != nil {
		b.conn.pendingBodies.Add(-1)
	}
}

// Read implements [io.Reader].
func (b *deadlineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // or the request would be canceled when it passes
		b.end()
	}
	return n, err
}

// Close implements [io.Closer]. net/http closes the body itself at the end:
// after an earlier end, the rest of it could not be read (see linger).
func (b *deadlineBody) Close() error { return nil }

// A pacedWriter gives each piece of an answer a deadline of its own.
type deadlineWriter struct {
	middleware.WrapResponseWriter
	control      *http.ResponseController
	body         *deadlineBody // of the request; nil for none
	stallTimeout time.Duration
	written      int
	waited       time.Duration // for the reader, in all
}

// extend moves the deadline on.
func (w *deadlineWriter) extend() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stallTimeout)) // recorders in tests have none
}

// WriteHeader implements [http.ResponseWriter].
func (w *deadlineWriter) WriteHeader(status int) {
	w.extend()
	if w.body != nil && !w.body.ended.Load() {
		_ = w.control.SetReadDeadline(time.Now().Add(discardTimeout))
	}
	w.WrapResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *deadlineWriter) Write(p []byte) (written int, err error) {
	for {
		piece := p[:min(len(p), writeChunkSize)]
		start := time.Now()
		left := w.stallTimeout + time.Duration(w.written)*time.Second/minWriteRate - w.waited
		_ = w.control.SetWriteDeadline(start.Add(min(left, w.stallTimeout)))
		n, err := w.WrapResponseWriter.Write(piece)
		written += n
		w.written += n
		w.waited += time.Since(start)
		if p = p[len(piece):]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// Unwrap is for [http.ResponseController].
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.WrapResponseWriter.Unwrap() }
