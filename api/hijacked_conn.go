package api

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxUnsolicited is how many bytes a client may send after its request before
// it counts as disconnected.
const maxUnsolicited = 64 << 10

// A hijackedConn is a connection taken over from net/http after the response
// headers. Without the buffers and the request of net/http, an idle stream uses
// a fifth of the memory.
type hijackedConn struct {
	net.Conn
	chunked bool // chunked encoding (RFC 9112, section 7.1); otherwise the response ends when the connection closes
}

// hijack takes over the connection of the request. It reports false and changes
// nothing if that is not possible: in HTTP/2, or if the connection is already
// hijacked.
func hijack(r *http.Request, control *http.ResponseController) (h *hijackedConn, ok bool) {
	conn, _, err := control.Hijack()
	if err != nil {
		return nil, false
	}
	_ = conn.SetDeadline(time.Time{}) // clear the request's deadline; if that fails, the next write fails too
	return &hijackedConn{conn, r.ProtoAtLeast(1, 1)}, true
}

// Write implements [io.Writer].
func (h *hijackedConn) Write(p []byte) (int, error) {
	if !h.chunked {
		return h.Conn.Write(p)
	}
	chunk := getBuffer()
	defer func() { putBuffer(chunk) }()
	chunk = append(strconv.AppendInt(chunk, int64(len(p)), 16), "\r\n"...)
	chunk = append(append(chunk, p...), "\r\n"...)
	if _, err := h.Conn.Write(chunk); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush does nothing because writes are not buffered.
func (h *hijackedConn) Flush() error { return nil }

// SetWriteDeadline sets the deadline of subsequent writes. A zero time is
// ignored: an idle stream does not write, so the old deadline does no harm.
func (h *hijackedConn) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return h.Conn.SetWriteDeadline(at)
}

// writeLastChunk completes the response, within the deadline of the previous
// write.
func (h *hijackedConn) writeLastChunk() error {
	if !h.chunked {
		return nil
	}
	_, err := h.Conn.Write([]byte("0\r\n\r\n"))
	return err
}

// abort closes the connection immediately. It skips the TLS close_notify alert,
// which could block.
func (h *hijackedConn) abort() {
	if tlsConn, ok := h.Conn.(*tls.Conn); ok {
		tlsConn.NetConn().Close()
		return
	}
	h.Close()
}

// serve calls fn with a context that is canceled when the client disconnects,
// and closes the connection when fn returns.
func (h *hijackedConn) serve(fn func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		var b [64]byte
		for received := 0; received < maxUnsolicited; {
			n, err := h.Read(b[:])
			if received += n; err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer h.Close()
	return fn(ctx)
}
