package auth

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"coatcheck/jobs/keys"
)

const (
	// failedLoginInterval is the minimum interval between log lines about one
	// address.
	failedLoginInterval = 10 * time.Second
	// failedLoginLines is the maximum number of these log lines per second, for
	// all addresses.
	failedLoginLines = 5
	// maxLoggedName is the maximum length of a logged name in bytes.
	maxLoggedName = 64
)

// FailedLogins counts and logs failed logins. It limits the rate of log lines;
// each line has the number of failures that it stands for.
type FailedLogins struct {
	// Total is the metric.
	Total prometheus.Counter
	lines *rate.Limiter
	seed  maphash.Seed

	mu sync.Mutex // guards addresses
	// addresses has a fixed number of buckets, onto which addresses are hashed.
	addresses [1 << 12]struct {
		next  time.Time // earliest time of the next log line
		count int       // failures since the last line
	}
}

// NewFailedLogins returns a FailedLogins without any failures.
func NewFailedLogins() *FailedLogins {
	return &FailedLogins{
		Total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_logins_failed_total",
			Help: "Failed logins: wrong name, password or API key, or throttled after too many failures.",
		}),
		lines: rate.NewLimiter(failedLoginLines, 4*failedLoginLines),
		seed:  maphash.MakeSeed(),
	}
}

// Count counts a failed login from the address. It returns the number of
// failures to log now, or 0 to log nothing.
func (f *FailedLogins) Count(address string) int {
	f.Total.Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &f.addresses[maphash.String(f.seed, address)%uint64(len(f.addresses))]
	a.count++
	if now := time.Now(); now.Before(a.next) || !f.lines.Allow() {
		return 0
	}
	count := a.count
	a.next, a.count = time.Now().Add(failedLoginInterval), 0
	return count
}

// LoggedName returns a name for the log: truncated, escaped, and without API
// keys and tokens that a client sent as a name by mistake.
func LoggedName(name string) string {
	lower := strings.ToLower(name)
	for _, secret := range []string{"ck_", "whsec_", "whsk_"} {
		if strings.Contains(lower, secret) {
			return "(a key)"
		}
	}
	cut := ""
	if name = keys.RedactText(name); len(name) > maxLoggedName {
		name, cut = strings.ToValidUTF8(name[:maxLoggedName], ""), "…"
	}
	quoted := strconv.Quote(name)
	return quoted[1:len(quoted)-1] + cut
}
