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
const mostUnasked = 64 << 10

// A wire is a connection taken over from net/http after the headers of an
// answer. Without net/http's buffers and its request, a viewer that waits
// costs a fifth of the memory.
type wire struct {
	net.Conn
	chunked bool // as in RFC 9112, section 7.1; else the end of the connection is the end
}

// takeWire takes the connection over. HTTP/2 has none to take: then ok is
// false, and all is as it was. HTTP/1 fails only for whom it was taken before.
func takeWire(r *http.Request, control *http.ResponseController) (w *wire, ok bool) {
	conn, _, err := control.Hijack()
	if err != nil {
		return nil, false
	}
	_ = conn.SetDeadline(time.Time{}) // of the request; if it fails, so does the next write
	return &wire{conn, r.ProtoAtLeast(1, 1)}, true
}

// Write implements [io.Writer].
func (w *wire) Write(p []byte) (int, error) {
	if !w.chunked {
		return w.Conn.Write(p)
	}
	chunk := buffer()
	defer func() { release(chunk) }()
	chunk = append(strconv.AppendInt(chunk, int64(len(p)), 16), "\r\n"...)
	chunk = append(append(chunk, p...), "\r\n"...)
	if _, err := w.Conn.Write(chunk); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush does nothing: nothing is held back.
func (w *wire) Flush() error { return nil }

// SetWriteDeadline sets when writes fail. It need not be taken back: what is
// quiet does not write.
func (w *wire) SetWriteDeadline(at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return w.Conn.SetWriteDeadline(at)
}

// finish says that the answer is whole, within the deadline of what was written
// before.
func (w *wire) finish() error {
	if !w.chunked {
		return nil
	}
	_, err := w.Conn.Write([]byte("0\r\n\r\n"))
	return err
}

// cut ends the connection without a word, which TLS would wait to say.
func (w *wire) cut() {
	if secure, ok := w.Conn.(*tls.Conn); ok {
		secure.NetConn().Close()
		return
	}
	w.Close()
}

// watched calls fn with a context that ends when the viewer has left, and
// closes the connection after it.
func (w *wire) watched(fn func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		var b [64]byte
		for said := 0; said < mostUnasked; {
			n, err := w.Read(b[:])
			if said += n; err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer w.Close()
	return fn(ctx)
}
