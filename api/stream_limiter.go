package api

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coatcheck/api/auth"
)

// StreamLimits limit streams and long polls. Zero values mean the defaults.
type StreamLimits struct {
	// Total is the maximum number of open streams and long polls. The default
	// is 10,000.
	Total int64
	// PerAddress is the maximum number per client address: an IPv4 address or
	// the /64 network of an IPv6 address. The default is 1,000. Loopback
	// addresses have no limit, because a proxy may run on this machine.
	PerAddress int64
	// PerUser is the maximum number per authenticated user. The default is
	// 2,000.
	PerUser int64
	// PerJob is the maximum number per job. The default is 5,000.
	PerJob int64
	// Age is the maximum duration of a stream. After it, the client is asked to
	// reconnect, which distributes clients over all servers. The default is 30
	// minutes. It is shortened at random by up to a fifth.
	Age time.Duration
	// Ping is the heartbeat interval of an idle stream. The default is 15
	// seconds. It varies at random by up to a tenth.
	Ping time.Duration
	// Stall is how long a client may stop reading a stream or a response before
	// its connection is closed. The client of a stream can reconnect and
	// resume. The default is 10 seconds.
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

// drainDuration is the maximum time over which a drain spreads the ends of
// streams.
const drainDuration = 2 * time.Second

// A quota identifies a limit that a stream counts towards, such as the limit of
// one address.
type quota struct{ limit, key string }

// A streamLimiter limits the number of open streams and long polls.
type streamLimiter struct {
	limits  StreamLimits
	refused *prometheus.CounterVec

	mu       sync.Mutex // guards the fields below
	streams  map[*stream]struct{}
	used     map[quota]int64
	draining bool
	empty    chan struct{} // closed when all streams have ended after a drain
}

func newStreamLimiter(limits StreamLimits) *streamLimiter {
	limits.setDefaults()
	l := &streamLimiter{
		limits: limits, streams: make(map[*stream]struct{}), used: make(map[quota]int64), empty: make(chan struct{}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_streams_refused_total",
			Help: "Event streams and long polls rejected, by the limit that was reached.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{"total", "address", "user", "job", "draining"} {
		l.refused.WithLabelValues(limit) // start at 0, so that the first rejection shows as an increase
	}
	return l
}

// acquire counts the stream and returns "". If a limit is reached, it returns
// the name of that limit instead.
func (l *streamLimiter) acquire(s *stream) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit = l.exceededLimit(s); limit != "" {
		l.refused.WithLabelValues(limit).Inc()
		return limit
	}
	l.streams[s] = struct{}{}
	s.info.conn.BeginStream()
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

// release removes the stream and frees its quotas.
func (l *streamLimiter) release(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	s.info.conn.EndStream()
	if l.draining && len(l.streams) == 0 {
		close(l.empty)
	}
	for _, q := range s.quotas {
		if l.used[q]--; l.used[q] == 0 {
			delete(l.used, q)
		}
	}
}

// drain rejects new streams and ends all open ones. If there are many, they end
// one after another, so that their clients do not reconnect to another server
// all at once.
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

// wait waits until all streams have ended after a drain, or until ctx is done.
// Without a drain, it always waits for ctx. It closes the connections of
// streams that are still open when ctx is done.
func (l *streamLimiter) wait(ctx context.Context) {
	select {
	case <-l.empty:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	for s := range l.streams {
		if hijacked := s.conn.Load(); hijacked != nil {
			hijacked.Abort()
		}
	}
	l.mu.Unlock()
	select {
	case <-l.empty:
	case <-time.After(time.Second): // never block the shutdown
	}
}

func (l *streamLimiter) openStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.streams)
}

// quotasOf returns the quotas of a stream of this request: those of its address
// and its user.
func quotasOf(remoteAddr string, info *RequestInfo) []quota {
	var quotas []quota
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err == nil && !addr.Addr().Unmap().IsLoopback() {
		quotas = append(quotas, quota{"address", auth.Address(remoteAddr)})
	}
	if info.User.Name != "" && info.User.Name != auth.LocalUser {
		quotas = append(quotas, quota{"user", info.User.Name})
	}
	return quotas
}
