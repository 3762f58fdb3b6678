package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"coatcheck/api/auth"

	"github.com/prometheus/client_golang/prometheus"
)

// Connections bounds the connections of a server. When one more comes than
// there is room for, the oldest idle one is closed in its place: a connection
// without a request, or one whose request body does not come. When none is idle,
// that is one whose answer has not been read for long, or the new one waits.
// Give its methods to a [net/http.Server].
type Connections struct {
	max         int
	logger      *slog.Logger
	evicted     prometheus.Counter
	roomChanged chan struct{} // has a value when one may have become idle

	mu     sync.Mutex
	open   map[*connection]struct{}
	warned time.Time // when it was last logged that there is no room
}

const (
	// warnInterval is how often it is logged that there is no room.
	warnInterval = time.Minute
	// slowAfter is how long a request may take before its connection can be
	// taken for one whose peer does not read.
	slowAfter = 5 * time.Second
)

// NewConnections returns a bound of that many connections.
func NewConnections(limit int, logger *slog.Logger) *Connections {
	return &Connections{
		max: limit, logger: logger, open: make(map[*connection]struct{}), roomChanged: make(chan struct{}, 1),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_connections_evicted_total", Help: "Idle connections closed to make room for others.",
		}),
	}
}

// A connection is one that is counted from Accept to Close.
type connection struct {
	net.Conn
	set           *Connections
	openedAt      time.Time
	addr          string       // the IPv4 address, or the /64 of an IPv6 address
	activeSince   atomic.Int64 // since when it has a request, in nanoseconds since 1970; 0 while it has none
	pendingBodies atomic.Int32 // requests whose body has not come whole
	streams       atomic.Int32 // streams and requests that wait for a job, which are bounded elsewhere
	once          sync.Once
}

// idle reports whether the connection waits for its peer.
func (c *connection) idle() bool { return c.activeSince.Load() == 0 || c.pendingBodies.Load() > 0 }

// slow reports whether the connection may wait for its peer.
func (c *connection) slow(now time.Time) bool {
	return c.streams.Load() == 0 && now.Sub(time.Unix(0, c.activeSince.Load())) > slowAfter
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.once.Do(func() {
		c.set.mu.Lock()
		defer c.set.mu.Unlock()
		delete(c.set.open, c)
		c.set.wakeAccept()
	})
	return c.Conn.Close()
}

// change wakes Accept, which may wait for room for a connection.
func (c *Connections) wakeAccept() {
	select {
	case c.roomChanged <- struct{}{}:
	default:
	}
}

// Listen returns a listener whose connections are counted.
func (c *Connections) Listen(l net.Listener) net.Listener {
	return &boundListener{Listener: l, set: c, closed: make(chan struct{})}
}

type boundListener struct {
	net.Listener
	set    *Connections
	once   sync.Once
	closed chan struct{}
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
	counted := &connection{Conn: conn, set: l.set, openedAt: time.Now(), addr: auth.Address(conn.RemoteAddr().String())}
	for !l.set.admit(counted) {
		select {
		case <-l.set.roomChanged:
		case <-time.After(slowAfter / 10):
		case <-l.closed:
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
	}
	return counted, nil
}

// admit counts a connection when there is room for it, or the place of another.
func (c *Connections) admit(conn *connection) bool {
	c.mu.Lock()
	var victim *connection
	if len(c.open) >= c.max {
		if time.Since(c.warned) > warnInterval {
			c.warned = time.Now()
			c.logger.Warn("no room for more connections, so idle ones are closed", "limit", c.max)
		}
		if victim = c.oldest((*connection).idle); victim == nil {
			now := time.Now()
			victim = c.oldest(func(conn *connection) bool { return conn.slow(now) })
		}
		if victim == nil {
			c.mu.Unlock()
			return false
		}
		delete(c.open, victim)
	}
	c.open[conn] = struct{}{}
	c.mu.Unlock()
	if victim != nil {
		c.evicted.Inc()
		victim.Close()
	}
	return true
}

// oldest returns the connection of that kind that is open for longest, of the
// address that has most of them: so who opens many loses his own. It is nil when
// there is none.
func (c *Connections) oldest(eligible func(*connection) bool) *connection {
	counts := make(map[string]int)
	oldest := make(map[string]*connection)
	busiest := ""
	for conn := range c.open {
		if !eligible(conn) {
			continue
		}
		counts[conn.addr]++
		if first := oldest[conn.addr]; first == nil || conn.openedAt.Before(first.openedAt) {
			oldest[conn.addr] = conn
		}
		if counts[conn.addr] > counts[busiest] {
			busiest = conn.addr
		}
	}
	return oldest[busiest]
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
	if counted := trackedConnection(conn); counted != nil {
		return context.WithValue(ctx, connectionKey{}, counted)
	}
	return ctx
}

// State is the ConnState of a [net/http.Server].
func (c *Connections) State(conn net.Conn, state http.ConnState) {
	counted := trackedConnection(conn)
	if counted == nil {
		return
	}
	switch state {
	case http.StateNew, http.StateIdle:
		counted.activeSince.Store(0)
		counted.pendingBodies.Store(0)
		counted.set.wakeAccept()
	case http.StateActive, http.StateHijacked:
		counted.activeSince.Store(time.Now().UnixNano())
	case http.StateClosed: // Close has been called
	}
}

// ours returns the connection of ours that is in conn, perhaps below TLS.
func trackedConnection(conn net.Conn) *connection {
	if tlsConn, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tlsConn.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

// connectionOf returns the connection of a request; nil if connections are not
// counted.
func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}
