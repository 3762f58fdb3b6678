package api

import (
	"net/http"
	"slices"
	"strings"
)

// shareTokens lets pages of other origins read what is under a job's token,
// and answers their browsers' questions before (CORS).
func (a *API) shareTokens(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if needsToken(r) {
			allowOrigins(w.Header())
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// needsToken reports whether the request is one for which tokens are enough.
func needsToken(r *http.Request) bool {
	if r.URL.Path == "/v1/events" {
		refs := r.URL.Query()["job"]
		return len(refs) > 0 && !slices.ContainsFunc(refs, func(ref string) bool { return !strings.Contains(ref, ".") })
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v1/jobs/")
	job, _, _ := strings.Cut(rest, "/")
	return ok && strings.Contains(job, ".")
}

// allowOrigins lets pages of all origins read the answer, without credentials.
func allowOrigins(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	h.Set("Access-Control-Allow-Headers", "Accept, If-None-Match, Prefer, Last-Event-ID, Cache-Control")
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After, Link, Location, Preference-Applied, Idempotent-Replayed, Log-Truncated, X-Request-Id")
	h.Set("Access-Control-Max-Age", "86400")
}
