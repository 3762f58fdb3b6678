package api

import (
	"net/http"
	"slices"
	"strings"
)

// proxyHeaders are headers that reverse proxies add to requests, in addition to
// X-Forwarded-*.
var proxyHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Host",
	"X-Original-Forwarded-For",
	"X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Ray", "Fastly-Client-Ip", "Cdn-Loop",
	"X-Arr-Log-Id",
}

// refuseProxied rejects requests that came through a proxy while no users are
// configured: everyone who can reach the proxy would be an admin. Health checks
// are allowed.
func (a *API) refuseProxied(next http.Handler) http.Handler {
	if !a.Auth.Open() || a.AllowProxy {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := proxyHeader(r.Header); name != "" && !isProbe(r) {
			a.WriteProblem(w, r, NewProblem("forbidden", "this request came through a proxy (it has the header "+name+
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
