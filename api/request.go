package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// requestInfo is what is known of a request.
type requestInfo struct {
	id     string // in the answer, its problems and the log
	base   string // how the caller reached us, "https://host"
	path   string // without what may be secret
	method string
	// remoteAddr is the address and port of who made it.
	remoteAddr string
	header     http.Header
	user       User // whose credentials it has; zero with a token only
	// session is the secret of a browser that is signed in, which made the
	// request; empty for programs.
	session      string
	sessionState jobs.Session

	start    time.Time
	pattern  string // of its route, when it is over
	detached bool   // it goes on when its handler has returned
}

// forStream returns what a stream needs to know, which lasts longer than
// headers should be kept.
func (info *requestInfo) forStream() *requestInfo {
	return &requestInfo{id: info.id, base: info.base, path: info.path, method: info.method, user: info.user, start: info.start}
}

type infoKey struct{}

func infoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(infoKey{}).(*requestInfo); ok {
		return info
	}
	return new(requestInfo)
}

// wrap puts around all calls what they have in common, the outermost last.
func (a *API) wrap(h http.Handler) http.Handler {
	a.crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.writeProblem(w, r, newProblem("forbidden", "a page of another origin can't do this"))
	}))
	if a.PublicURL != "" {
		// A proxy may hand on another Host than the browser saw.
		if err := a.crossOrigin.AddTrustedOrigin(a.PublicURL); err != nil {
			a.Logger.Warn("public_url is no origin", "err", err)
		}
	}
	h = a.crossOrigin.Handler(h)
	h = a.shareTokens(h)
	h = a.checkHost(h)
	h = a.recoverPanic(h)
	return a.observe(h)
}

// observe gives the request its id, logs it and counts it.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := &requestInfo{
			start: time.Now(),
			id:    "req_" + strings.ToLower(rand.Text()), base: a.base(r), path: withoutToken(r.URL.Path), method: r.Method, remoteAddr: a.remoteAddr(r), header: r.Header,
		}
		route := chi.NewRouteContext() // ours, so that the pattern is known afterwards
		route.Routes = a.router
		ctx := context.WithValue(r.Context(), infoKey{}, info)
		r = r.WithContext(context.WithValue(ctx, chi.RouteCtxKey, route))
		r.RemoteAddr = info.remoteAddr // for the limits of logins too
		h := w.Header()
		h.Set("X-Request-Id", info.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // URLs have tokens
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Vary", "Authorization, Cookie") // jobs look different to their owners
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(ww, r)
		if !info.detached {
			info.pattern = route.RoutePattern()
			a.observed(info, cmp.Or(ww.Status(), http.StatusOK), ww.BytesWritten())
		}
	})
}

// observed logs and counts a request that is over.
func (a *API) observed(info *requestInfo, status, bytes int) {
	took := time.Since(info.start)
	a.metrics.observe(info.method, info.pattern, status, took)
	level := slog.LevelInfo
	if slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, info.pattern) {
		level = slog.LevelDebug
	}
	a.Logger.LogAttrs(context.Background(), level, "request", slog.String("request_id", info.id), slog.String("method", info.method), slog.String("path", info.path),
		slog.Int("status", status), slog.Int("bytes", bytes), slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("user", info.user.Name))
}

// base returns how the caller reached us.
func (a *API) base(r *http.Request) string {
	switch {
	case a.PublicURL != "":
		return a.PublicURL
	case !loopbackHost(r.Host) && !a.isOurHost(r.Host):
		return "" // it is refused; nothing of ours leads there
	case r.TLS != nil:
		return "https://" + r.Host
	default:
		return "http://" + r.Host
	}
}

// withoutToken cuts the secret half off tokens in a path.
func withoutToken(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if id, _, ok := strings.Cut(part, "."); ok && strings.HasPrefix(part, "job_") {
			parts[i] = id
		}
	}
	return strings.Join(parts, "/")
}

func (a *API) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			a.logPanic(r.Context(), infoOf(r.Context()), v)
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				panic(http.ErrAbortHandler) // the answer has begun: cut it off
			}
			a.writeProblem(w, r, newProblem("internal", "something went wrong here; the log has the rest under this request id"))
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *API) logPanic(ctx context.Context, info *requestInfo, v any) {
	a.Logger.ErrorContext(ctx, "panic", "request_id", info.id, "panic", v, "stack", string(debug.Stack()))
}

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

// authorize looks at the credentials of requests that need them, before their
// body is read.
func (a *API) authorize(who access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if who == users || who == tokenOrUser && !needsToken(r) {
			if err := a.authenticate(r); err != nil {
				a.writeProblem(w, r, err)
				return
			}
		}
		next(ctx)
	}
}

// authenticate writes down who makes the request.
func (a *API) authenticate(r *http.Request) (err error) {
	info := infoOf(r.Context())
	if info.user, err = a.Auth.Authenticate(r); errors.Is(err, ErrNoCredentials) {
		info.user, err = a.resume(r)
	}
	return err
}
