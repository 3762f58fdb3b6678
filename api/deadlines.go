package api

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"coatcheck/api/conn"
	"coatcheck/api/problem"

	"github.com/go-chi/chi/v5/middleware"
)

const (
	// minBodyRate extends BodyTimeout by the time that a body of MaxBody bytes
	// takes at this rate, in bytes per second.
	minBodyRate = 128 << 10
	// discardTimeout is how long a response waits for the rest of an unread
	// request body. Once the rest is read, the connection can be reused.
	discardTimeout = 2 * time.Second
	// emptyBodyTimeout is how long the server waits to find out whether a body
	// of unknown length is empty.
	emptyBodyTimeout = 500 * time.Millisecond
	// writeChunkSize is the number of bytes that are written with one deadline.
	writeChunkSize = 64 << 10
	// minWriteRate is the minimum rate at which a client must read a response,
	// in bytes per second, with Stall as a grace period. The limit exists
	// because a response uses memory until it is read.
	minWriteRate = 16 << 10
)

// timeAtRate returns how long a number of bytes takes at a rate in bytes per second.
func timeAtRate(bytes, rate int64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// bodyReadTimeout is how long a request body may take to arrive.
func (a *API) bodyReadTimeout() time.Duration {
	return a.BodyTimeout + time.Duration(a.MaxBody)*time.Second/minBodyRate
}

// withDeadlines sets deadlines for a request. The body must arrive in time,
// whether or not a handler reads it, and the client must read each chunk of the
// response in time. GET and HEAD requests with a body are rejected because
// their handlers ignore it.
func (a *API) withDeadlines(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ww, ok := w.(middleware.WrapResponseWriter)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		dw := &deadlineWriter{
			WrapResponseWriter: ww, control: http.NewResponseController(w), stallTimeout: a.streams.Limits.Stall,
		}
		if r.ProtoMajor == 1 { // in HTTP/2, an expired deadline would reset the stream
			dw.extend() // the deadline may be left over from the previous request
		}
		defer dw.extend() // for data that is still buffered
		if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
			next.ServeHTTP(dw, r)
			return
		}
		dw.body = &deadlineBody{ReadCloser: r.Body, control: dw.control, conn: conn.Of(r.Context())}
		dw.body.begin(a.bodyReadTimeout())
		if r.ProtoMajor > 1 { // in HTTP/1, the connection waits for the rest of the body
			defer dw.body.end()
		}
		if (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.ContentLength > 0 || dw.body.hasData()) {
			_ = dw.control.EnableFullDuplex() // respond without waiting for the body
			w.Header().Set("Connection", "close")
			a.WriteProblem(dw, r, problem.New("bad-request", "expected a "+r.Method+" request without a body"))
			return
		}
		r.Body = dw.body
		next.ServeHTTP(dw, r)
		dw.discardBody(r)
	})
}

// A deadlineBody is a request body with a read deadline until it is complete.
type deadlineBody struct {
	io.ReadCloser
	control *http.ResponseController
	conn    *conn.Connection // nil if connections are not counted
	ended   atomic.Bool

	// Of a large body: when it began, and how many bytes have come. timeout is 0 for others.
	start    time.Time
	timeout  time.Duration
	received int64
}

// minUploadRate is the minimum average rate at which a large body must arrive, in bytes per second,
// with BodyTimeout as a grace period.
const minUploadRate = 16 << 10

// allowLarge lets the body take as long as it needs at minUploadRate.
func (b *deadlineBody) allowLarge(timeout time.Duration) {
	b.start, b.timeout = time.Now(), timeout
	b.extend()
}

func (b *deadlineBody) extend() {
	_ = b.control.SetReadDeadline(b.start.Add(b.timeout + timeAtRate(b.received, minUploadRate)))
}

func (b *deadlineBody) begin(limit time.Duration) {
	_ = b.control.SetReadDeadline(time.Now().Add(limit)) // unsupported by the recorders in tests
	b.conn.BeginBody()
}

// hasData reports whether the body has at least one byte. A body of unknown
// length may be empty.
func (b *deadlineBody) hasData() bool {
	_ = b.control.SetReadDeadline(time.Now().Add(emptyBodyTimeout))
	n, err := b.Read(make([]byte, 1))
	return n > 0 || !errors.Is(err, io.EOF)
}

// end marks the body as complete, or as no longer expected.
func (b *deadlineBody) end() {
	if b.ended.CompareAndSwap(false, true) {
		b.conn.EndBody()
	}
}

// Read implements [io.Reader].
func (b *deadlineBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.timeout > 0 && err == nil {
		b.received += int64(n)
		b.extend()
	}
	if err == io.EOF {
		_ = b.control.SetReadDeadline(time.Time{}) // an expired deadline would cancel the request
		b.end()
	}
	return n, err
}

// Close implements [io.Closer]. It does nothing: net/http closes the body
// itself after the handler returns, and after an earlier close, discardBody
// could not read the rest.
func (b *deadlineBody) Close() error { return nil }

// A deadlineWriter sets a new deadline for each chunk of a response.
type deadlineWriter struct {
	middleware.WrapResponseWriter
	control      *http.ResponseController
	body         *deadlineBody // of the request; nil without a body
	stallTimeout time.Duration
	written      int
	waited       time.Duration // total time spent waiting for the client to read
}

// extend postpones the write deadline.
func (w *deadlineWriter) extend() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stallTimeout)) // unsupported by the recorders in tests
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
		chunk := p[:min(len(p), writeChunkSize)]
		start := time.Now()
		timeout := w.stallTimeout + timeAtRate(int64(w.written), minWriteRate) - w.waited
		_ = w.control.SetWriteDeadline(start.Add(min(timeout, w.stallTimeout)))
		n, err := w.WrapResponseWriter.Write(chunk)
		written += n
		w.written += n
		w.waited += time.Since(start)
		if p = p[len(chunk):]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// Unwrap is used by [http.ResponseController].
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.WrapResponseWriter.Unwrap() }
