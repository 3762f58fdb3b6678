package conn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"coatcheck/api/auth"
)

// Serve serves the requests of the connections that listener accepts, until the server is closed or
// shut down. With config, the connections use TLS. It sets the ConnContext and the ConnState of the
// server. Errors: those of [http.Server.Serve].
func (l *Limiter) Serve(server *http.Server, listener net.Listener, config *tls.Config) error {
	server.ConnContext, server.ConnState = l.context, l.state
	listener = &boundListener{Listener: listener, limiter: l, closed: make(chan struct{})}
	l.returned.addr = listener.Addr()
	l.idleTimeout = cmp.Or(server.IdleTimeout, server.ReadTimeout)
	l.headerTimeout = cmp.Or(server.ReadHeaderTimeout, server.ReadTimeout)
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	var returned sync.WaitGroup
	returned.Go(func() { _ = server.Serve(l.returned) }) // until it is closed
	err := server.Serve(listener)
	l.returned.Close()
	returned.Wait()
	return err
}

// A boundListener accepts connections that count towards the limit.
type boundListener struct {
	net.Listener
	limiter *Limiter
	once    sync.Once
	closed  chan struct{}
}

// Close implements [net.Listener].
func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept implements [net.Listener].
func (l *boundListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counted := &Connection{Conn: conn, limiter: l.limiter, openedAt: time.Now(), addr: auth.Address(conn.RemoteAddr().String())}
	for !l.limiter.admit(counted) {
		select {
		case <-l.limiter.roomChanged:
		case <-time.After(SlowAfter / 10):
		case <-l.closed:
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
	}
	return counted, nil
}

type connectionKey struct{}

// context is the ConnContext of a [net/http.Server].
func (*Limiter) context(ctx context.Context, conn net.Conn) context.Context {
	if counted := trackedConnection(conn); counted != nil {
		return context.WithValue(ctx, connectionKey{}, counted)
	}
	return ctx
}

// state is the ConnState of a [net/http.Server].
func (*Limiter) state(conn net.Conn, state http.ConnState) {
	counted := trackedConnection(conn)
	if counted == nil {
		return
	}
	switch state {
	case http.StateNew, http.StateIdle:
		counted.activeSince.Store(0)
		counted.pendingBodies.Store(0)
		counted.limiter.wakeAccept()
	case http.StateActive, http.StateHijacked:
		counted.activeSince.Store(time.Now().UnixNano())
	case http.StateClosed: // Close has already removed it
	}
}

// trackedConnection returns the counted connection behind conn, unwrapping TLS,
// or nil.
func trackedConnection(conn net.Conn) *Connection {
	if tlsConn, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tlsConn.NetConn()
	}
	c, _ := conn.(*Connection)
	return c
}

// Of returns the connection of a request, or nil if connections are
// not counted.
func Of(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}
