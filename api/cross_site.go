package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// skeletonStarts are the routes on which a GET request submits a job.
var skeletonStarts = []string{"/sleep/{amount}", "/math/{a}/{b}"}

// refuseCrossSite protects routes on which a GET request submits a job against
// cross-site request forgery: a page of another site can send a GET request
// with a mere image. It accepts requests from clients other than browsers,
// requests that the user started, and requests from pages of this server.
func (a *API) refuseCrossSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isPrefetch(r.Header):
			a.WriteProblem(w, r,
				NewProblem("forbidden", "this request submits a job, so browsers must not prefetch it"))
		case !a.isSameOriginOrDirect(r):
			a.WriteProblem(w, r, NewProblem("forbidden", "a page of another origin can't do this"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isSameOriginOrDirect reports whether the request cannot come from a page of
// another site.
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
		// Browsers send no Sec-Fetch-Site over plain HTTP, and old browsers
		// never do. Without Origin and Referer, the source of a navigation or
		// an image request is then unknown.
		return !strings.HasPrefix(r.UserAgent(), "Mozilla/") || r.Header.Get("Origin")+r.Referer() != ""
	default:
		return false
	}
}

// isOwnOrigin reports whether the URL has the origin of this server, as the
// client sees it.
func (a *API) isOwnOrigin(r *http.Request, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) ||
		a.PublicURL != "" && strings.EqualFold(u.Scheme+"://"+u.Host, a.PublicURL)
}

// isPrefetch reports whether a browser prefetches or prerenders the URL,
// without an action of the user.
func isPrefetch(h http.Header) bool {
	return slices.ContainsFunc([]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"}, func(name string) bool {
		value := strings.ToLower(strings.Join(h.Values(name), ","))
		return strings.Contains(value, "prefetch") || strings.Contains(value, "prerender") ||
			strings.Contains(value, "preview")
	})
}
