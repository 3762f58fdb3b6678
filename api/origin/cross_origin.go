package origin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coatcheck/api/problem"
)

// AllowTokenCORS adds CORS headers to responses for requests that use a job
// token, and answers their preflight requests. Pages of any origin may then
// read the responses.
func (p *Policy) AllowTokenCORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if UsesToken(r) {
			allowOrigins(w.Header())
			if r.Method == http.MethodOptions {
				allowHeaders(w.Header(), r.Header)
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// UsesToken reports whether a token authorizes the request, so that it needs no
// credentials.
func UsesToken(r *http.Request) bool {
	if r.URL.Path == "/v1/events" {
		refs := r.URL.Query()["job"]
		return len(refs) > 0 && !slices.ContainsFunc(refs, func(ref string) bool { return !strings.Contains(ref, ".") })
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/jobs/")
	job, _, _ := strings.Cut(rest, "/")
	return ok && strings.Contains(job, ".")
}

// allowedHeaders are the request headers that are always allowed with a token.
const allowedHeaders = "Accept, If-None-Match, Prefer, Last-Event-ID, Cache-Control"

// allowOrigins allows pages of any origin to read the response, without
// credentials.
func allowOrigins(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	h.Set("Access-Control-Allow-Headers", allowedHeaders)
	h.Set("Access-Control-Expose-Headers",
		"ETag, Retry-After, Link, Location, Preference-Applied, Idempotent-Replayed, Log-Truncated, X-Request-Id, Accept-Ranges, Content-Range, Content-Disposition")
	h.Set("Access-Control-Max-Age", "86400")
}

// maxRequestedHeaders is the maximum size of the Access-Control-Request-Headers
// header of a preflight request, in bytes.
const maxRequestedHeaders = 4 << 10

// allowHeaders allows all headers that a preflight request lists. That is safe
// because no credentials are involved, and necessary because tracing SDKs add
// headers of their own. The headers are listed by name because * does not
// include Authorization.
func allowHeaders(response, request http.Header) {
	response.Set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	requested := strings.Join(request.Values("Access-Control-Request-Headers"), ",")
	if requested == "" || len(requested) > maxRequestedHeaders {
		return
	}
	var names []string
	for name := range strings.SplitSeq(requested, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !isHeaderName(name) {
			return
		}
		names = append(names, name)
	}
	if names != nil {
		response.Set("Access-Control-Allow-Headers", allowedHeaders+", "+strings.Join(names, ", "))
	}
}

// isHeaderName reports whether a name is a token (RFC 9110, section 5.6.2).
func isHeaderName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		isLetter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !isLetter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// RefuseCrossSite protects routes on which a GET request submits a job against
// cross-site request forgery: a page of another site can send a GET request
// with a mere image. It accepts requests from clients other than browsers,
// requests that the user started, and requests from pages of this server.
func (p *Policy) RefuseCrossSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case isPrefetch(r.Header):
			p.Refuse(w, r,
				problem.New("forbidden", "this request submits a job, so browsers must not prefetch it"))
		case !p.isSameOriginOrDirect(r):
			p.Refuse(w, r, problem.New("forbidden", "a page of another origin can't do this"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isSameOriginOrDirect reports whether the request cannot come from a page of
// another site.
func (p *Policy) isSameOriginOrDirect(r *http.Request) bool {
	for _, name := range []string{"Origin", "Referer"} {
		if value := r.Header.Get(name); value != "" && !p.isOwnOrigin(r, value) {
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
func (p *Policy) isOwnOrigin(r *http.Request, raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) ||
		p.PublicURL != "" && strings.EqualFold(u.Scheme+"://"+u.Host, p.PublicURL)
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
