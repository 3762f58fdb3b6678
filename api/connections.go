package api

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Connections limits the number of open connections of a server. At the limit,
// a new connection evicts the oldest idle one: a connection without a request,
// or one whose request body is incomplete. If no connection is idle, the new
// one evicts the oldest one whose request is taking long, as its client may
// have stopped reading the response. Otherwise the new connection waits.
//
// Use [Connections.Serve] to serve them.
type Connections struct {
	max         int
	logger      *slog.Logger
	evicted     prometheus.Counter
	roomChanged chan struct{} // has a value when a connection may have closed or become idle
	returned    *returnedListener

	mu     sync.Mutex // guards open and warned
	open   map[*connection]struct{}
	warned time.Time // when the limit was last logged
}

const (
	// warnInterval is the minimum interval between log lines about the limit.
	warnInterval = time.Minute
	// slowAfter is how long a request may take before its client is assumed to
	// have stopped reading.
	slowAfter = 5 * time.Second
)

// NewConnections returns a Connections that allows up to limit open
// connections.
func NewConnections(limit int, logger *slog.Logger) *Connections {
	return &Connections{
		max: limit, logger: logger, open: make(map[*connection]struct{}), roomChanged: make(chan struct{}, 1), returned: newReturnedListener(),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_connections_evicted_total",
			Help: "Connections evicted because the connection limit was reached.",
		}),
	}
}

// A connection is a connection that counts towards the limit, from Accept to
// Close.
type connection struct {
	net.Conn
	set           *Connections
	openedAt      time.Time
	addr          string       // the IPv4 address, or the /64 network of an IPv6 address
	activeSince   atomic.Int64 // start of the current request as Unix time in nanoseconds; 0 without a request
	pendingBodies atomic.Int32 // requests whose body is incomplete
	streams       atomic.Int32 // streams and long polls, which have limits of their own
	once          sync.Once
}

// idle reports whether the server is waiting for the client.
func (c *connection) idle() bool { return c.activeSince.Load() == 0 || c.pendingBodies.Load() > 0 }

// slow reports whether the client may have stopped reading the response.
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

// wakeAccept wakes an Accept that waits for a free connection.
func (c *Connections) wakeAccept() {
	select {
	case c.roomChanged <- struct{}{}:
	default:
	}
}

// admit counts the connection if the limit allows it, or after evicting another
// one. It reports whether the connection is counted.
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

// oldest returns the oldest eligible connection of the address that has the
// most of them, or nil if there is none. An address that opens many connections
// therefore loses its own.
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

// size returns the number of open connections.
func (c *Connections) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}
