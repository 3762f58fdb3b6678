package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Connections bounds the connections of a server. When one more comes than
// there is room for, the oldest one that waits without doing anything is closed
// in its place: a connection without a request, or one whose request body does
// not come. Give its methods to a [net/http.Server].
type Connections struct {
	max     int
	logger  *slog.Logger
	evicted prometheus.Counter

	mu     sync.Mutex
	open   map[*connection]struct{}
	warned time.Time // when it was last logged that there is no room
}

// warnInterval is how often it is logged that there is no room.
const warnInterval = time.Minute

// NewConnections returns a bound of that many connections.
func NewConnections(most int, logger *slog.Logger) *Connections {
	return &Connections{
		max: most, logger: logger, open: make(map[*connection]struct{}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_connections_evicted_total", Help: "Idle connections closed to make room for others.",
		}),
	}
}

// A connection is one that is counted from Accept to Close.
type connection struct {
	net.Conn
	all    *Connections
	since  time.Time
	addr   netip.Addr
	active atomic.Bool  // it has a request, or is a stream
	bodies atomic.Int32 // requests whose body has not come whole
	once   sync.Once
}

// idle reports whether the connection waits for its peer.
func (c *connection) idle() bool { return !c.active.Load() || c.bodies.Load() > 0 }

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.once.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		delete(c.all.open, c)
	})
	return c.Conn.Close()
}

// Listen returns a listener whose connections are counted.
func (c *Connections) Listen(l net.Listener) net.Listener { return &boundListener{l, c} }

type boundListener struct {
	net.Listener
	all *Connections
}

// Accept implements [net.Listener].
func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		counted := &connection{Conn: conn, all: l.all, since: time.Now()}
		if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
			counted.addr = addr.Addr()
		}
		if l.all.admit(counted) {
			return counted, nil
		}
		conn.Close()
	}
}

// admit counts a connection. When there is no room for it, it takes the place
// of an idle one, and is refused if there is none.
func (c *Connections) admit(conn *connection) bool {
	c.mu.Lock()
	var oldest *connection
	if len(c.open) >= c.max {
		oldest = c.oldestIdle()
		if time.Since(c.warned) > warnInterval {
			c.warned = time.Now()
			c.logger.Warn("no room for more connections, so idle ones are closed", "limit", c.max)
		}
	}
	room := len(c.open) < c.max || oldest != nil
	if room {
		c.open[conn] = struct{}{}
	}
	if oldest != nil {
		delete(c.open, oldest)
	}
	c.mu.Unlock()
	if oldest != nil {
		c.evicted.Inc()
		oldest.Close()
	}
	return room
}

// oldestIdle returns the idle connection that is open for longest, of the
// address that has most idle ones: so who opens many loses his own. It is nil
// when all are busy.
func (c *Connections) oldestIdle() *connection {
	counts := make(map[netip.Addr]int)
	oldest := make(map[netip.Addr]*connection)
	var worst netip.Addr
	for conn := range c.open {
		if !conn.idle() {
			continue
		}
		counts[conn.addr]++
		if first := oldest[conn.addr]; first == nil || conn.since.Before(first.since) {
			oldest[conn.addr] = conn
		}
		if counts[conn.addr] > counts[worst] {
			worst = conn.addr
		}
	}
	return oldest[worst]
}

// size returns how many connections are open.
func (c *Connections) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

type connectionKey struct{}

// Context is the ConnContext of a [net/http.Server].
func (c *Connections) Context(ctx context.Context, conn net.Conn) context.Context {
	if counted := ours(conn); counted != nil {
		return context.WithValue(ctx, connectionKey{}, counted)
	}
	return ctx
}

// State is the ConnState of a [net/http.Server].
func (c *Connections) State(conn net.Conn, state http.ConnState) {
	counted := ours(conn)
	if counted == nil {
		return
	}
	switch state {
	case http.StateNew, http.StateIdle:
		counted.active.Store(false)
		counted.bodies.Store(0)
	case http.StateActive, http.StateHijacked:
		counted.active.Store(true)
	case http.StateClosed: // Close has been called
	}
}

// ours returns the connection of ours that is in conn, perhaps below TLS.
func ours(conn net.Conn) *connection {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

// connectionOf returns the connection of a request; nil when nobody counts.
func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}
