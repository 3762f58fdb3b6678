package api

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"coatcheck/api/auth"

	"github.com/prometheus/client_golang/prometheus"
)

// StreamLimits bound what viewers may take: streams, and requests that wait for
// a job. What is zero has its default.
type StreamLimits struct {
	// Total is how many of both may be open. Default 10,000.
	Total int64
	// PerAddress is how many of them for one address: an IPv4 address or the
	// /64 of an IPv6 address. Default 1,000. This machine itself is not
	// limited, because a proxy may be on it.
	PerAddress int64
	// PerUser is how many with a user's credentials. Default 2,000.
	PerUser int64
	// PerJob is how many of one job. Default 5,000.
	PerJob int64
	// Age is how long a stream lasts; then its viewer is told to come back,
	// which spreads viewers over the servers there are. Default 30 minutes, of
	// which up to a fifth is left to chance.
	Age time.Duration
	// Ping is how often a quiet stream says that it is alive. Default 15
	// seconds, a tenth more or less.
	Ping time.Duration
	// Stall is how long a client may read nothing of a stream or a response before
	// its connection is closed. A viewer of a stream can reconnect and resume.
	// Default 10 seconds.
	Stall time.Duration
}

func (l *StreamLimits) complete() {
	l.Total = cmp.Or(l.Total, 10_000)
	l.PerAddress = cmp.Or(l.PerAddress, 1000)
	l.PerUser = cmp.Or(l.PerUser, 2000)
	l.PerJob = cmp.Or(l.PerJob, 5000)
	l.Age = cmp.Or(l.Age, 30*time.Minute)
	l.Ping = cmp.Or(l.Ping, 15*time.Second)
	l.Stall = cmp.Or(l.Stall, 10*time.Second)
}

func (l *StreamLimits) of(limit string) int64 {
	switch limit {
	case "address":
		return l.PerAddress
	case "user":
		return l.PerUser
	default:
		return l.PerJob
	}
}

// drainTime is over how long many viewers are sent away.
const drainTime = 2 * time.Second

// A seat is what a stream takes of a limit: of the address's, for example.
type seat struct{ limit, name string }

// A crowd is all who watch.
type crowd struct {
	limits  StreamLimits
	refused *prometheus.CounterVec

	mu       sync.Mutex
	streams  map[*stream]struct{}
	taken    map[seat]int64
	draining bool
	empty    chan struct{} // closed when all have left for good
}

func newCrowd(limits StreamLimits) *crowd {
	limits.complete()
	c := &crowd{
		limits: limits, streams: make(map[*stream]struct{}), taken: make(map[seat]int64), empty: make(chan struct{}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_streams_refused_total", Help: "Streams of events there was no room for, by the limit that was reached.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{"total", "address", "user", "job", "draining"} {
		c.refused.WithLabelValues(limit) // from 0 on, or the first time would be no change
	}
	return c
}

// enter lets a stream in that has the seats, or returns the limit that is
// reached.
func (c *crowd) enter(s *stream) (limit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit = c.reached(s); limit != "" {
		c.refused.WithLabelValues(limit).Inc()
		return limit
	}
	c.streams[s] = struct{}{}
	if s.info.conn != nil {
		s.info.conn.viewers.Add(1)
	}
	for _, seat := range s.seats {
		c.taken[seat]++
	}
	return ""
}

func (c *crowd) reached(s *stream) string {
	switch {
	case c.draining:
		return "draining"
	case int64(len(c.streams)) >= c.limits.Total:
		return "total"
	}
	for _, seat := range s.seats {
		if c.taken[seat] >= c.limits.of(seat.limit) {
			return seat.limit
		}
	}
	return ""
}

// leave gives the seats back.
func (c *crowd) leave(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
	if s.info.conn != nil {
		s.info.conn.viewers.Add(-1)
	}
	if c.draining && len(c.streams) == 0 {
		close(c.empty)
	}
	for _, seat := range s.seats {
		if c.taken[seat]--; c.taken[seat] == 0 {
			delete(c.taken, seat)
		}
	}
}

// drain lets nobody in any more and tells all to leave, one after the other
// when they are many: so they come to another server.
func (c *crowd) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return
	}
	c.draining = true
	if len(c.streams) == 0 {
		close(c.empty)
	}
	at, step := time.Now(), min(time.Millisecond, drainTime/time.Duration(max(1, len(c.streams))))
	for s := range c.streams {
		s.leaveBy(at)
		at = at.Add(step)
	}
}

// wait waits until all have left after a drain, without which it would wait
// for ctx; those who have not by then are cut off.
func (c *crowd) wait(ctx context.Context) {
	select {
	case <-c.empty:
		return
	case <-ctx.Done():
	}
	c.mu.Lock()
	for s := range c.streams {
		if wire := s.wire.Load(); wire != nil {
			wire.cut()
		}
	}
	c.mu.Unlock()
	select {
	case <-c.empty:
	case <-time.After(time.Second): // nothing may keep the program from its end
	}
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}

// seatsOf returns what a stream of this request takes.
func seatsOf(remoteAddr string, info *requestInfo) []seat {
	var seats []seat
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err == nil && !addr.Addr().Unmap().IsLoopback() {
		seats = append(seats, seat{"address", auth.Address(remoteAddr)})
	}
	if info.user.Name != "" && info.user.Name != auth.LocalUser {
		seats = append(seats, seat{"user", info.user.Name})
	}
	return seats
}
