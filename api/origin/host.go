package origin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coatcheck/api/problem"
)

// CheckHost rejects requests with an unknown host name, to prevent DNS
// rebinding: otherwise a page could point its own host name at this server and
// read everything. Health checks may use any host, because load balancers send
// the address or no host.
func (p *Policy) CheckHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isProbe(r) && !LoopbackHost(r.Host) && !p.isOwnHost(r.Host) {
			p.Refuse(w, r, problem.New("unknown-host",
				"unknown host in the Host header; to allow it, set public_url or hosts in the configuration"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOwnHost reports whether a Host header matches the host of the public URL,
// or a configured host with any port.
func (p *Policy) isOwnHost(host string) bool {
	if !validHost(host) {
		return false
	}
	if u, err := url.Parse(p.PublicURL); err == nil && u.Host != "" && strings.EqualFold(u.Host, host) {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(p.Hosts, func(configured string) bool {
		return strings.EqualFold(configured, host) || strings.EqualFold(configured, name)
	})
}

// LoopbackHost reports whether a Host header is localhost or a loopback
// address.
func LoopbackHost(hostport string) bool {
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

// validHost reports whether a Host header is valid in a URL: a name or an
// address, IPv6 in brackets, optionally with a port.
func validHost(hostport string) bool {
	u, err := url.Parse("http://" + hostport)
	if err != nil || u.Host != hostport || u.User != nil || u.Hostname() == "" || strings.HasSuffix(hostport, ":") {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	isIPv6 := err == nil && addr.Is6()
	if isIPv6 != strings.HasPrefix(hostport, "[") || strings.ContainsAny(u.Hostname(), "[]") ||
		!isIPv6 && strings.Contains(u.Hostname(), ":") {
		return false
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		return err == nil && n > 0
	}
	return true
}

// IsLocalhost reports whether a Host header is localhost or a subdomain of it.
// All servers on a developer's machine share this name, so browser state such
// as HSTS would affect them all.
func IsLocalhost(hostport string) bool {
	name, _, _ := strings.Cut(strings.ToLower(hostport), ":")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
