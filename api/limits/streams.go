package limits

import (
	"cmp"
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coatcheck/api/auth"
	"coatcheck/api/conn"
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

// A Quota identifies a limit that a stream counts towards, such as the limit of
// one address.
type Quota struct{ Limit, Key string }

// A Stream is an event stream or a long poll.
type Stream interface {
	// Quotas are the limits that the stream counts towards.
	Quotas() []Quota
	// Connection is the connection of its request; nil if connections are not counted.
	Connection() *conn.Connection
	// EndBy sets the time when the stream must end, unless it must end earlier.
	EndBy(at time.Time)
	// Abort closes the stream's own connection immediately, if it has one.
	Abort()
}

// Streams limits the number of open streams and long polls.
type Streams struct {
	// Limits are the limits, with their defaults.
	Limits StreamLimits
	// Refused counts rejected streams, for the metrics.
	Refused *prometheus.CounterVec

	mu       sync.Mutex // guards the fields below
	streams  map[Stream]struct{}
	used     map[Quota]int64
	draining bool
	empty    chan struct{} // closed when all streams have ended after a drain
}

// NewStreams returns a Streams without any streams.
func NewStreams(limits StreamLimits) *Streams {
	limits.setDefaults()
	l := &Streams{
		Limits: limits, streams: make(map[Stream]struct{}), used: make(map[Quota]int64), empty: make(chan struct{}),
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_streams_refused_total",
			Help: "Event streams and long polls rejected, by the limit that was reached.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{"total", "address", "user", "job", "draining"} {
		l.Refused.WithLabelValues(limit) // start at 0, so that the first rejection shows as an increase
	}
	return l
}

// Acquire counts the stream and returns "". If a limit is reached, it returns
// the name of that limit instead.
func (l *Streams) Acquire(s Stream) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit = l.exceededLimit(s); limit != "" {
		l.Refused.WithLabelValues(limit).Inc()
		return limit
	}
	l.streams[s] = struct{}{}
	s.Connection().BeginStream()
	for _, q := range s.Quotas() {
		l.used[q]++
	}
	return ""
}

func (l *Streams) exceededLimit(s Stream) string {
	switch {
	case l.draining:
		return "draining"
	case int64(len(l.streams)) >= l.Limits.Total:
		return "total"
	}
	for _, q := range s.Quotas() {
		if l.used[q] >= l.Limits.byName(q.Limit) {
			return q.Limit
		}
	}
	return ""
}

// Release removes the stream and frees its quotas.
func (l *Streams) Release(s Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	s.Connection().EndStream()
	if l.draining && len(l.streams) == 0 {
		close(l.empty)
	}
	for _, q := range s.Quotas() {
		if l.used[q]--; l.used[q] == 0 {
			delete(l.used, q)
		}
	}
}

// Drain rejects new streams and ends all open ones. If there are many, they end
// one after another, so that their clients do not reconnect to another server
// all at once.
func (l *Streams) Drain() {
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
		s.EndBy(at)
		at = at.Add(step)
	}
}

// Wait waits until all streams have ended after a drain, or until ctx is done.
// Without a drain, it always waits for ctx. It closes the connections of
// streams that are still open when ctx is done.
func (l *Streams) Wait(ctx context.Context) {
	select {
	case <-l.empty:
		return
	case <-ctx.Done():
	}
	l.mu.Lock()
	for s := range l.streams {
		s.Abort()
	}
	l.mu.Unlock()
	select {
	case <-l.empty:
	case <-time.After(time.Second): // never block the shutdown
	}
}

// Open returns the number of open streams.
func (l *Streams) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.streams)
}

// QuotasOf returns the quotas of a stream of the user from this address.
func QuotasOf(remoteAddr, user string) []Quota {
	var quotas []Quota
	if address := AddressOf(remoteAddr); address != "" {
		quotas = append(quotas, Quota{"address", address})
	}
	if user != "" && user != auth.LocalUser {
		quotas = append(quotas, Quota{"user", user})
	}
	return quotas
}

// AddressOf returns the address for which a client has limits, or "" for a loopback address, which has
// none.
func AddressOf(remoteAddr string) string {
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err != nil || addr.Addr().Unmap().IsLoopback() {
		return ""
	}
	return auth.Address(remoteAddr)
}
