// Package conn limits the open connections of a server, takes over those of streams, and returns
// them to the server when their stream has ended.
package conn

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Limiter limits the number of open connections of a server. At the limit,
// a new connection evicts the oldest idle one: a connection without a request,
// or one whose request body is incomplete. If no connection is idle, the new
// one evicts the oldest one whose request is taking long, as its client may
// have stopped reading the response. Otherwise the new connection waits.
//
// Use [Limiter.Serve] to serve them.
type Limiter struct {
	max         int
	logger      *slog.Logger
	evicted     prometheus.Counter
	roomChanged chan struct{} // has a value when a connection may have closed or become idle
	returned    *returnedListener
	// idleTimeout and headerTimeout are the server's.
	idleTimeout, headerTimeout time.Duration

	mu     sync.Mutex // guards open and warned
	open   map[*Connection]struct{}
	warned time.Time // when the limit was last logged
}

const (
	// warnInterval is the minimum interval between log lines about the limit.
	warnInterval = time.Minute
	// SlowAfter is how long a request may take before its client is assumed to
	// have stopped reading.
	SlowAfter = 5 * time.Second
)

// NewLimiter returns a Limiter that allows up to limit open
// connections.
func NewLimiter(limit int, logger *slog.Logger) *Limiter {
	l := &Limiter{
		max: limit, logger: logger, open: make(map[*Connection]struct{}), roomChanged: make(chan struct{}, 1),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_connections_evicted_total",
			Help: "Connections evicted because the connection limit was reached.",
		}),
	}
	l.returned = newReturnedListener(l)
	return l
}

// A Connection is a connection that counts towards the limit, from Accept to
// Close. A nil Connection is one of a server that does not count them: what the
// methods Begin and End note about it is ignored.
type Connection struct {
	net.Conn
	limiter       *Limiter
	openedAt      time.Time
	addr          string       // the IPv4 address, or the /64 network of an IPv6 address
	activeSince   atomic.Int64 // start of the current request as Unix time in nanoseconds; 0 without a request
	pendingBodies atomic.Int32 // requests whose body is incomplete
	streams       atomic.Int32 // streams and long polls, which have limits of their own
	returned      atomic.Bool  // waits for the first request after a stream
	once          sync.Once
}

// idle reports whether the server is waiting for the client.
func (c *Connection) idle() bool { return c.activeSince.Load() == 0 || c.pendingBodies.Load() > 0 }

// slow reports whether the client may have stopped reading the response.
func (c *Connection) slow(now time.Time) bool {
	return c.streams.Load() == 0 && now.Sub(time.Unix(0, c.activeSince.Load())) > SlowAfter
}

// BeginBody notes that the connection has a request whose body is incomplete, until EndBody.
func (c *Connection) BeginBody() {
	if c != nil {
		c.pendingBodies.Add(1)
		c.limiter.wakeAccept()
	}
}

// EndBody notes that the body of a request is complete, or no longer expected.
func (c *Connection) EndBody() {
	if c != nil {
		c.pendingBodies.Add(-1)
	}
}

// BeginStream notes that the response of the connection is a stream or a long poll, until EndStream.
func (c *Connection) BeginStream() {
	if c != nil {
		c.streams.Add(1)
	}
}

// EndStream notes that a stream or a long poll has ended.
func (c *Connection) EndStream() {
	if c != nil {
		c.streams.Add(-1)
	}
}

// Close implements [net.Conn].
func (c *Connection) Close() error {
	c.once.Do(func() {
		c.limiter.mu.Lock()
		defer c.limiter.mu.Unlock()
		delete(c.limiter.open, c)
		c.limiter.wakeAccept()
	})
	return c.Conn.Close()
}

// wakeAccept wakes an Accept that waits for a free connection.
func (l *Limiter) wakeAccept() {
	select {
	case l.roomChanged <- struct{}{}:
	default:
	}
}

// admit counts the connection if the limit allows it, or after evicting another
// one. It reports whether the connection is counted.
func (l *Limiter) admit(conn *Connection) bool {
	l.mu.Lock()
	var victim *Connection
	if len(l.open) >= l.max {
		if time.Since(l.warned) > warnInterval {
			l.warned = time.Now()
			l.logger.Warn("no room for more connections, so idle ones are closed", "limit", l.max)
		}
		if victim = l.oldest((*Connection).idle); victim == nil {
			now := time.Now()
			victim = l.oldest(func(conn *Connection) bool { return conn.slow(now) })
		}
		if victim == nil {
			l.mu.Unlock()
			return false
		}
		delete(l.open, victim)
	}
	l.open[conn] = struct{}{}
	l.mu.Unlock()
	if victim != nil {
		l.evicted.Inc()
		victim.Close()
	}
	return true
}

// oldest returns the oldest eligible connection of the address that has the
// most of them, or nil if there is none. An address that opens many connections
// therefore loses its own.
func (l *Limiter) oldest(eligible func(*Connection) bool) *Connection {
	counts := make(map[string]int)
	oldest := make(map[string]*Connection)
	busiest := ""
	for conn := range l.open {
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

// Collectors returns the metrics of the limiter.
func (l *Limiter) Collectors() []prometheus.Collector {
	return []prometheus.Collector{l.evicted, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coatcheck_connections", Help: "Open connections.",
	}, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.open))
	})}
}
