package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// remoteAddr returns the address and port of who made the request. Where that
// is a trusted proxy, it is what the proxies say, up to the first one that is
// not trusted.
func (a *API) remoteAddr(r *http.Request) string {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !a.trusts(addr.Addr()) {
		return r.RemoteAddr
	}
	client := addr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		client = netip.AddrPortFrom(ip, 0)
		if !a.trusts(ip) {
			break
		}
	}
	return client.String()
}

func (a *API) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(a.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}
