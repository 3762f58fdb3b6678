package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// skeletonStarts are the routes that start work although they are called by GET.
var skeletonStarts = []string{"/sleep/{amount}", "/math/{a}/{b}"}

// refuseElsewhere protects routes that start work by GET. A page of another
// site can make a browser send a GET by as little as an image, so a request
// must either be one that no browser made, or one that its user or a page of
// this server made.
func (a *API) refuseCrossSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isPrefetch(r.Header):
			a.writeProblem(w, r, newProblem("forbidden", "this starts work, so that a browser can't fetch it in advance"))
		case !a.isSameOriginOrDirect(r):
			a.writeProblem(w, r, newProblem("forbidden", "a page of another origin can't do this"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromHere reports whether no page of another site can have made a browser
// send the request.
func (a *API) isSameOriginOrDirect(r *http.Request) bool {
	for _, name := range []string{"Origin", "Referer"} {
		if value := r.Header.Get(name); value != "" && !a.isOwnOrigin(r, value) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		// Browsers leave it out over http, and old ones always; a navigation
		// or an image then tells nothing of the page that it comes from.
		return !strings.HasPrefix(r.UserAgent(), "Mozilla/") || r.Header.Get("Origin")+r.Referer() != ""
	default:
		return false
	}
}

// isOurOrigin reports whether a URL is one of this server's, as the caller
// reaches it.
func (a *API) isOwnOrigin(r *http.Request, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || a.PublicURL != "" && strings.EqualFold(u.Scheme+"://"+u.Host, a.PublicURL)
}

// isPrefetch reports whether a browser asks for what its user may want later.
func isPrefetch(h http.Header) bool {
	return slices.ContainsFunc([]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"}, func(name string) bool {
		value := strings.ToLower(strings.Join(h.Values(name), ","))
		return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") || strings.Contains(value, "preview")
	})
}
