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

// mostUnasked is how much a viewer may say after its request; then it counts as
// gone.
const maxUnsolicited = 64 << 10

// A wire is a connection taken over from net/http after the headers of an
// answer. Without net/http's buffers and its request, a viewer that waits
// costs a fifth of the memory.
type hijackedConn struct {
	net.Conn
	chunked bool // as in RFC 9112, section 7.1; else the end of the connection is the end
}

// takeWire takes the connection over. HTTP/2 has none to take: then ok is
// false, and all is as it was. HTTP/1 fails only for whom it was taken before.
func hijack(r *http.Request, control *http.ResponseController) (h *hijackedConn, ok bool) {
	conn, _, err := control.Hijack()
	if err != nil {
		return nil, false
	}
	_ = conn.SetDeadline(time.Time{}) // of the request; if it fails, so does the next write
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

// Flush does nothing: nothing is held back.
func (h *hijackedConn) Flush() error { return nil }

// SetWriteDeadline sets when writes fail. It need not be taken back: what is
// quiet does not write.
func (h *hijackedConn) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return h.Conn.SetWriteDeadline(at)
}

// finish says that the answer is whole, within the deadline of what was written
// before.
func (h *hijackedConn) writeLastChunk() error {
	if !h.chunked {
		return nil
	}
	_, err := h.Conn.Write([]byte("0\r\n\r\n"))
	return err
}

// cut ends the connection without a word, which TLS would wait to say.
func (h *hijackedConn) abort() {
	if tlsConn, ok := h.Conn.(*tls.Conn); ok {
		tlsConn.NetConn().Close()
		return
	}
	h.Close()
}

// watched calls fn with a context that ends when the viewer has left, and
// closes the connection after it.
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
