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

func (l *StreamLimits) setDefaults() {
	l.Total = cmp.Or(l.Total, 10_000)
	l.PerAddress = cmp.Or(l.PerAddress, 1000)
	l.PerUser = cmp.Or(l.PerUser, 2000)
	l.PerJob = cmp.Or(l.PerJob, 5000)
	l.Age = cmp.Or(l.Age, 30*time.Minute)
	l.Ping = cmp.Or(l.Ping, 15*time.Second)
	l.Stall = cmp.Or(l.Stall, 10*time.Second)
}

func (l *StreamLimits) byName(limit string) int64 {
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
const drainDuration = 2 * time.Second

// A seat is what a stream takes of a limit: of the address's, for example.
type quota struct{ limit, key string }

// A crowd is all who watch.
type streamLimiter struct {
	limits  StreamLimits
	refused *prometheus.CounterVec

	mu       sync.Mutex
	streams  map[*stream]struct{}
	used     map[quota]int64
	draining bool
	empty    chan struct{} // closed when all have left for good
}

func newStreamLimiter(limits StreamLimits) *streamLimiter {
	limits.setDefaults()
	l := &streamLimiter{
		limits: limits, streams: make(map[*stream]struct{}), used: make(map[quota]int64), empty: make(chan struct{}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_streams_refused_total", Help: "Streams of events there was no room for, by the limit that was reached.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{"total", "address", "user", "job", "draining"} {
		l.refused.WithLabelValues(limit) // from 0 on, or the first time would be no change
	}
	return l
}

// enter lets a stream in that has the seats, or returns the limit that is
// reached.
func (l *streamLimiter) acquire(s *stream) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit = l.exceededLimit(s); limit != "" {
		l.refused.WithLabelValues(limit).Inc()
		return limit
	}
	l.streams[s] = struct{}{}
	if s.info.conn != nil {
		s.info.conn.streams.Add(1)
	}
	for _, q := range s.quotas {
		l.used[q]++
	}
	return ""
}

func (l *streamLimiter) exceededLimit(s *stream) string {
	switch {
	case l.draining:
		return "draining"
	case int64(len(l.streams)) >= l.limits.Total:
		return "total"
	}
	for _, q := range s.quotas {
		if l.used[q] >= l.limits.byName(q.limit) {
			return q.limit
		}
	}
	return ""
}

// leave gives the seats back.
func (l *streamLimiter) release(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	if s.info.conn != nil {
		s.info.conn.streams.Add(-1)
	}
	if l.draining && len(l.streams) == 0 {
		close(l.empty)
	}
	for _, q := range s.quotas {
		if l.used[q]--; l.used[q] == 0 {
			delete(l.used, q)
		}
	}
}

// drain lets nobody in any more and tells all to leave, one after the other
// when they are many: so they come to another server.
func (l *streamLimiter) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return
	}
	l.draining = true
	if len(l.streams) == 0 {
		close(l.empty)
	}
	at, step := time.Now(), min(time.Millisecond, drainDuration/time.Duration(max(1, len(l.streams))))
	for s := range l.streams {
		s.endBy(at)
		at = at.Add(step)
	}
}

// wait waits until all have left after a drain, without which it would wait
// for ctx; those who have not by then are cut off.
func (l *streamLimiter) wait(ctx context.Context) {
	select {
	case <-l.empty:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	for s := range l.streams {
		if conn := s.conn.Load(); conn != nil {
			conn.abort()
		}
	}
	l.mu.Unlock()
	select {
	case <-l.empty:
	case <-time.After(time.Second): // nothing may keep the program from its end
	}
}

func (l *streamLimiter) openStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.streams)
}

// seatsOf returns what a stream of this request takes.
func quotasOf(remoteAddr string, info *requestInfo) []quota {
	var quotas []quota
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err == nil && !addr.Addr().Unmap().IsLoopback() {
		quotas = append(quotas, quota{"address", auth.Address(remoteAddr)})
	}
	if info.user.Name != "" && info.user.Name != auth.LocalUser {
		quotas = append(quotas, quota{"user", info.user.Name})
	}
	return quotas
}
