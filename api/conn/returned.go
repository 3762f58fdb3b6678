package conn

import (
	"net"
	"sync"
	"time"
)

// A returnedListener accepts the connections of streams that have ended, so that their clients can
// send further requests.
type returnedListener struct {
	limiter *Limiter
	addr    net.Addr
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func newReturnedListener(l *Limiter) *returnedListener {
	return &returnedListener{limiter: l, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give makes Accept return the connection. It closes the connection instead if the listener is
// closed.
func (l *returnedListener) give(conn net.Conn) {
	counted := trackedConnection(conn)
	counted.returned.Store(true)
	select {
	case l.conns <- conn:
	case <-l.closed:
		counted.Close()
	}
	select {
	case <-l.closed: // since Accept has returned the connection, so Close may have missed it
		counted.Close()
	default:
	}
}

// Accept implements [net.Listener].
func (l *returnedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements [net.Listener].
func (l *returnedListener) Addr() net.Addr { return l.addr }

// Close implements [net.Listener]. It also closes the connections that still wait for a request: a
// server that shuts down would wait for them, because to it they are new.
func (l *returnedListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		for _, conn := range l.limiter.waiting() {
			conn.Close()
		}
	})
	return nil
}

// waiting returns the returned connections that wait for a request.
func (l *Limiter) waiting() (all []*Connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		if conn.returned.Load() {
			all = append(all, conn)
		}
	}
	return all
}

// SetReadDeadline implements [net.Conn]. A server gives a new connection only the time for a
// header; a returned one has that for an idle connection until its next request begins.
func (c *Connection) SetReadDeadline(at time.Time) error {
	if c.returned.Load() && !at.IsZero() {
		if idle := time.Now().Add(c.limiter.idleTimeout); idle.After(at) {
			at = idle
		}
	}
	return c.Conn.SetReadDeadline(at)
}

// Read implements [net.Conn].
func (c *Connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.returned.Load() {
		c.returned.Store(false)
		if timeout := c.limiter.headerTimeout; timeout > 0 {
			if deadlineErr := c.Conn.SetReadDeadline(time.Now().Add(timeout)); err == nil {
				err = deadlineErr
			}
		}
	}
	return n, err
}
