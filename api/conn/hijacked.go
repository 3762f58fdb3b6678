package conn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// maxUnsolicited is how many bytes a client may send after its request before
// it counts as disconnected.
const maxUnsolicited = 64 << 10

// A Hijacked is a connection taken over from net/http after the response
// headers. Without the buffers and the request of net/http, an idle stream uses
// a fifth of the memory.
type Hijacked struct {
	net.Conn
	chunked bool // chunked encoding (RFC 9112, section 7.1); otherwise the response ends when the connection closes
	// next serves the client's further requests after the response; nil if the connection is closed.
	next *returnedListener
}

// nextRequests returns what serves further requests on the connection of the request, after its
// response was sent to the hijacked connection; nil if the connection must be closed then.
func nextRequests(r *http.Request, response http.Header) *returnedListener {
	conn := Of(r.Context())
	if conn == nil || !r.ProtoAtLeast(1, 1) || r.Close || response.Get("Connection") != "" {
		return nil
	}
	return conn.limiter.returned
}

// A Response is the response to the request of a connection.
type Response interface {
	Header() http.Header
	http.Hijacker
}

// Reusable reports whether a connection that is hijacked after this response header can serve
// further requests when its response has ended.
func Reusable(r *http.Request, response http.Header) bool { return nextRequests(r, response) != nil }

// Hijack takes over the connection of the request. It reports false and changes
// nothing if that is not possible: in HTTP/2, or if the connection is already
// hijacked.
func Hijack(r *http.Request, response Response) (h *Hijacked, ok bool) {
	next := nextRequests(r, response.Header())
	conn, buffered, err := response.Hijack()
	if err != nil {
		return nil, false
	}
	if buffered.Reader.Buffered() > 0 {
		next = nil // part of another request, which is lost
	}
	_ = conn.SetDeadline(time.Time{}) // clear the request's deadline; if that fails, the next write fails too
	return &Hijacked{conn, r.ProtoAtLeast(1, 1), next}, true
}

// chunks has the buffers of chunks that are being written.
var chunks = sync.Pool{New: func() any { return new([]byte) }}

// Write implements [io.Writer].
func (h *Hijacked) Write(p []byte) (int, error) {
	if !h.chunked {
		return h.Conn.Write(p)
	}
	chunk, _ := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	*chunk = append(strconv.AppendInt((*chunk)[:0], int64(len(p)), 16), "\r\n"...)
	*chunk = append(append(*chunk, p...), "\r\n"...)
	if _, err := h.Conn.Write(*chunk); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush does nothing because writes are not buffered.
func (h *Hijacked) Flush() error { return nil }

// SetWriteDeadline sets the deadline of subsequent writes. A zero time is
// ignored: an idle stream does not write, so the old deadline does no harm.
func (h *Hijacked) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return h.Conn.SetWriteDeadline(at)
}

// writeLastChunk completes the response, within the deadline of the previous
// write.
func (h *Hijacked) writeLastChunk() error {
	if !h.chunked {
		return nil
	}
	_, err := h.Conn.Write([]byte("0\r\n\r\n"))
	return err
}

// Abort closes the connection immediately. It skips the TLS close_notify alert,
// which could block.
func (h *Hijacked) Abort() {
	if tlsConn, ok := h.Conn.(*tls.Conn); ok {
		tlsConn.NetConn().Close()
		return
	}
	h.Close()
}

// Serve calls fn with a context that is canceled when the client disconnects. If fn reports that the
// response is complete, Serve ends it, and the connection serves further requests if it can.
// Otherwise, it closes the connection.
func (h *Hijacked) Serve(fn func(context.Context) (complete bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	var reader sync.WaitGroup
	received, readErr := 0, error(nil)
	reader.Go(func() {
		defer cancel()
		var b [64]byte
		for received < maxUnsolicited && readErr == nil {
			var n int
			n, readErr = h.Read(b[:])
			received += n
		}
	})
	complete := fn(ctx)
	// The client may send its next request as soon as it has the last chunk.
	_ = h.SetReadDeadline(time.Unix(1, 0)) // if that fails, the connection is closed
	reader.Wait()
	if !complete || h.writeLastChunk() != nil || h.next == nil || received > 0 || !errors.Is(readErr, os.ErrDeadlineExceeded) || h.SetDeadline(time.Time{}) != nil {
		h.Close()
		return
	}
	h.next.give(h.Conn)
}
