package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkHost refuses requests that came by a name that is not ours: a page could
// point its own name at us (DNS rebinding) and then read everything. Probes are
// answered whatever they call us: load balancers use the address, or nothing.
func (a *API) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isProbe(r) && !loopbackHost(r.Host) && !a.isOwnHost(r.Host) {
			a.writeProblem(w, r, newProblem("unknown-host", "this server does not go by the name in the Host header; if it should, set public_url or hosts in its configuration"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurHost reports whether a Host header is that of the public URL, or one of
// the names in the configuration, with any port.
func (a *API) isOwnHost(host string) bool {
	if !validHost(host) {
		return false
	}
	if u, err := url.Parse(a.PublicURL); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(a.Hosts, func(configured string) bool {
		return strings.EqualFold(configured, host) || strings.EqualFold(configured, name)
	})
}

// loopbackHost reports whether a Host header names this machine to itself.
func loopbackHost(hostport string) bool {
	if !validHost(hostport) {
		return false
	}
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

// validHost reports whether a Host header is one that a URL can have: a name or
// an address, IPv6 in brackets, and maybe a port.
func validHost(hostport string) bool {
	u, err := url.Parse("http://" + hostport)
	if err != nil || u.Host != hostport || u.User != nil || u.Hostname() == "" || strings.HasSuffix(hostport, ":") {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	isIPv6 := err == nil && addr.Is6()
	if isIPv6 != strings.HasPrefix(hostport, "[") || strings.ContainsAny(u.Hostname(), "[]") || !isIPv6 && strings.Contains(u.Hostname(), ":") {
		return false
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		return err == nil && n > 0
	}
	return true
}

// isLocalhost reports whether a Host header has the name that all servers of a
// developer's machine share: what browsers remember of it holds for all of them.
func isLocalhost(hostport string) bool {
	name, _, _ := strings.Cut(strings.ToLower(hostport), ":")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
