package api

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"coatcheck/api/auth"
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

// failedLogins counts and logs failed logins. It limits the rate of log lines;
// each line has the number of failures that it stands for.
type failedLogins struct {
	total prometheus.Counter
	lines *rate.Limiter
	seed  maphash.Seed

	mu sync.Mutex // guards addresses
	// addresses has a fixed number of buckets, onto which addresses are hashed.
	addresses [1 << 12]struct {
		next  time.Time // earliest time of the next log line
		count int       // failures since the last line
	}
}

func newFailedLogins() *failedLogins {
	return &failedLogins{
		total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coatcheck_logins_failed_total",
			Help: "Failed logins: wrong name, password or API key, or throttled after too many failures.",
		}),
		lines: rate.NewLimiter(failedLoginLines, 4*failedLoginLines),
		seed:  maphash.MakeSeed(),
	}
}

// count counts a failed login from the address. It returns the number of
// failures to log now, or 0 to log nothing.
func (f *failedLogins) count(address string) int {
	f.total.Inc()
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

// RecordLogin counts and logs a login error if the credentials were wrong or
// the client was throttled.
func (a *API) RecordLogin(ctx context.Context, name string, err error) {
	_, throttled := errors.AsType[*auth.RetryError](err)
	if !throttled && !errors.Is(err, auth.ErrBadCredentials) {
		return
	}
	info := InfoOf(ctx)
	if count := a.failedLogins.count(auth.Address(info.remoteAddr)); count > 0 {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "failed login", slog.String("request_id", info.ID),
			slog.String("name", loggedName(name)),
			slog.String("client", clientOf(info.remoteAddr)), slog.Bool("throttled", throttled),
			slog.Int("count", count))
	}
}

// claimedName returns the user name in the request's credentials, or "" for an
// API key.
func claimedName(r *http.Request) string {
	name, _, _ := r.BasicAuth()
	return name
}

// loggedName returns a name for the log: truncated, escaped, and without API
// keys and tokens that a client sent as a name by mistake.
func loggedName(name string) string {
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

// clientOf returns the address without its port.
func clientOf(remoteAddr string) string {
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	return addr.Addr().Unmap().String()
}
