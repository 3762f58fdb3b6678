// Package origin decides where requests may come from: through which proxies, to which hosts, and
// from the pages of which other origins.
package origin

import (
	"log/slog"
	"net/http"
	"net/netip"

	"coatcheck/api/problem"
)

// A Policy has the settings that decide where requests may come from.
type Policy struct {
	// PublicURL is the base URL of the server for its clients; empty to derive it from each request.
	PublicURL string
	// Hosts are further host names that requests may use in the Host header.
	Hosts []string
	// TrustedProxies are the networks of the proxies whose headers are trusted.
	TrustedProxies []netip.Prefix
	// AllowProxied accepts requests that came through any proxy.
	AllowProxied bool
	// Refuse responds to a request that is rejected.
	Refuse func(http.ResponseWriter, *http.Request, error)
	Logger *slog.Logger
}

// BaseURL returns the base URL of the server as the client sees it.
func (p *Policy) BaseURL(c Caller) string {
	switch {
	case p.PublicURL != "":
		return p.PublicURL
	case !LoopbackHost(c.Host) && !p.isOwnHost(c.Host):
		return "" // the host is not allowed, so no URL may point to it
	case c.HTTPS:
		return "https://" + c.Host
	default:
		return "http://" + c.Host
	}
}

// RefuseCrossOrigin rejects requests by which a page of another origin would change something.
func (p *Policy) RefuseCrossOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Refuse(w, r, problem.New("forbidden", "a page of another origin can't do this"))
	}))
	if p.PublicURL != "" {
		// A proxy may forward another Host header than the browser sent.
		if err := protection.AddTrustedOrigin(p.PublicURL); err != nil {
			p.Logger.Warn("public_url is not an origin", "err", err)
		}
	}
	return protection.Handler(next)
}
