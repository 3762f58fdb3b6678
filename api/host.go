package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// checkHost refuses requests that came by a name that is not ours: a page could
// point its own name at us (DNS rebinding) and then read everything.
func (a *API) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) && !a.isOurHost(r.Host) {
			a.writeProblem(w, r, newProblem("unknown-host", "this server does not go by the name in the Host header; if it should, set public_url or hosts in its configuration"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurHost reports whether a Host header is that of the public URL, or one of
// the names in the configuration, with any port.
func (a *API) isOurHost(host string) bool {
	if u, err := url.Parse(a.PublicURL); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(a.Hosts, func(ours string) bool { return strings.EqualFold(ours, host) || strings.EqualFold(ours, name) })
}

// loopbackHost reports whether a Host header names this machine to itself.
func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
