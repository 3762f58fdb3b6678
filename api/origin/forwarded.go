package origin

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"coatcheck/api/problem"
)

// A Caller is the client address, host and scheme of a request. They are those
// of the connection or, behind a trusted proxy, those in the proxy's headers.
type Caller struct {
	Addr  string // address and port; the port is 0 if a proxy reported the address
	Host  string // as in the Host header
	HTTPS bool
}

// CallerOf returns the caller of the request. Proxy headers are used only if
// they come from a trusted proxy.
func (p *Policy) CallerOf(r *http.Request) Caller {
	c := Caller{Addr: r.RemoteAddr, Host: r.Host, HTTPS: r.TLS != nil}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.isTrustedProxy(peer.Addr()) {
		return c
	}
	chain, protos, hosts := forwardedValues(r.Header)
	// Each proxy appends a value. The loop walks back to the first address that
	// is not a trusted proxy; values before it are unverified claims of the
	// client.
	client, hops := peer, 0
	for _, value := range slices.Backward(chain) {
		ip, ok := parseHop(value)
		if !ok {
			break
		}
		client = netip.AddrPortFrom(ip, 0)
		hops++
		if !p.isTrustedProxy(ip) {
			break
		}
	}
	if hops > 0 {
		c.Addr = client.String()
	}
	switch strings.ToLower(fromEnd(protos, hops)) {
	case "https", "wss":
		c.HTTPS = true
	case "http", "ws":
		c.HTTPS = false
	}
	if host := fromEnd(hosts, hops); host != "" {
		c.Host = host
	}
	return c
}

// forwardedValues returns the client addresses, schemes and hosts in the proxy
// headers, with the values of the nearest proxy last. Forwarded (RFC 7239) is
// used only without X-Forwarded headers, because proxies more reliably
// overwrite the latter.
func forwardedValues(h http.Header) (chain, protos, hosts []string) {
	chain, protos, hosts = headerElements(h, "X-Forwarded-For"), headerElements(h, "X-Forwarded-Proto"),
		headerElements(h, "X-Forwarded-Host")
	if len(chain)+len(protos)+len(hosts) > 0 {
		return chain, protos, hosts
	}
	for _, element := range headerElements(h, "Forwarded") {
		parts := make(map[string]string)
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(pair, "=")
			parts[strings.ToLower(strings.TrimSpace(name))] = strings.Trim(strings.TrimSpace(value), `"`)
		}
		chain, protos, hosts = append(chain, parts["for"]), append(protos, parts["proto"]), append(hosts, parts["host"])
	}
	return chain, protos, hosts
}

// headerElements returns the elements of a list-based header.
func headerElements(h http.Header, name string) []string {
	var all []string
	for element := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if element = strings.TrimSpace(element); element != "" {
			all = append(all, element)
		}
	}
	return all
}

// fromEnd returns the value added by the proxy that is the given number of hops
// away. If there are fewer values, because each proxy replaced the previous
// one, it returns the first.
func fromEnd(values []string, hops int) string {
	if len(values) == 0 {
		return ""
	}
	return values[max(0, len(values)-max(1, hops))]
}

// parseHop parses an address with or without a port, as proxies write it.
func parseHop(s string) (netip.Addr, bool) {
	if addrPort, err := netip.ParseAddrPort(s); err == nil {
		return addrPort.Addr().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return addr.WithZone(""), err == nil
}

func (p *Policy) isTrustedProxy(ip netip.Addr) bool {
	return slices.ContainsFunc(p.TrustedProxies,
		func(network netip.Prefix) bool { return network.Contains(ip.Unmap().WithZone("")) })
}

// proxyHeaders are headers that reverse proxies add to requests, in addition to
// X-Forwarded-*.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host",
	"X-Original-Forwarded-For",
	"X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Ray", "Fastly-Client-Ip", "Cdn-Loop",
	"X-Arr-Log-Id",
}

// RefuseProxied rejects requests that came through a proxy, unless AllowProxied is set: while no users
// are configured, everyone who can reach the proxy would be an admin. Health checks
// are allowed.
func (p *Policy) RefuseProxied(next http.Handler) http.Handler {
	if p.AllowProxied {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := proxyHeader(r.Header); name != "" && !isProbe(r) {
			p.Refuse(w, r, problem.New("forbidden", "this request came through a proxy (it has the header "+name+
				"), but the server has no users, so every client of the proxy would be an admin: "+
				"add users (httpauth or api_keys in the configuration) or, "+
				"if only admins can reach the proxy, set allow_proxy_without_users: true"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// proxyHeader returns the name of a header that a proxy added, or "".
func proxyHeader(h http.Header) string {
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded") || slices.Contains(proxyHeaders, name) {
			return name
		}
	}
	return ""
}

// isProbe reports whether the request is a health check.
func isProbe(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
}
