package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// requestInfo is what is known of a request.
type requestInfo struct {
	id      string // in the answer, its problems and the log
	baseURL string // how the caller reached us, "https://host"
	path    string // without what may be secret
	method  string
	// remoteAddr is the address and port of who made it.
	remoteAddr string
	header     http.Header
	conn       *connection // nil if connections are not counted
	user       auth.User   // whose credentials it has; zero with a token only
	// session is the secret of a browser that is signed in, which made the
	// request; empty for programs.
	session      string
	sessionState jobs.Session

	// atEnd is called when the answer is over.
	onEnd []func()

	start    time.Time
	pattern  string // of its route, when it is over
	detached bool   // it goes on when its handler has returned
}

// forStream returns what a stream needs to know, which lasts longer than
// headers should be kept.
func (info *requestInfo) forStream() *requestInfo {
	return &requestInfo{id: info.id, baseURL: info.baseURL, path: info.path, method: info.method, remoteAddr: info.remoteAddr, conn: info.conn, user: info.user, start: info.start}
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
	h = a.rejectAmbiguous(h)
	h = a.allowTokenCORS(h)
	h = a.checkHost(h)
	h = a.refuseProxied(h)
	h = a.recoverPanic(h)
	return a.withRequestInfo(a.dw(h))
}

// observe gives the request its id, logs it and counts it.
func (a *API) withRequestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := a.callerOf(r)
		info := &requestInfo{
			start: time.Now(),
			id:    "req_" + strings.ToLower(rand.Text()), baseURL: a.base(caller), path: redactPathTokens(r.URL.Path), method: r.Method, remoteAddr: caller.addr, header: r.Header, conn: connectionOf(r.Context()),
		}
		route := chi.NewRouteContext() // ours, so that the pattern is known afterwards
		route.Routes = a.router
		ctx := context.WithValue(r.Context(), infoKey{}, info)
		r = r.WithContext(context.WithValue(ctx, chi.RouteCtxKey, route))
		r.RemoteAddr, r.Host = caller.addr, caller.host // as the caller sees it, for all that comes after
		h := w.Header()
		if a.secure(r) && !isLocalhost(r.Host) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.Set("X-Request-Id", info.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // URLs have tokens
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Vary", "Authorization, Cookie") // jobs look different to their owners
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() { // also after a panic
			for _, fn := range info.onEnd {
				fn()
			}
		}()
		next.ServeHTTP(ww, r)
		if !info.detached {
			info.pattern = route.RoutePattern()
			a.recordRequest(info, cmp.Or(ww.Status(), http.StatusOK), ww.BytesWritten())
		}
	})
}

// observed logs and counts a request that is over.
func (a *API) recordRequest(info *requestInfo, status, bytes int) {
	took := time.Since(info.start)
	a.metrics.observe(info.method, info.pattern, status, took)
	level := slog.LevelInfo
	if slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, info.pattern) {
		level = slog.LevelDebug
	}
	a.Logger.LogAttrs(context.Background(), level, "request", slog.String("request_id", info.id), slog.String("method", info.method), slog.String("path", info.path),
		slog.Int("status", status), slog.Int("bytes", bytes), slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("user", info.user.Name), slog.String("client", clientOf(info.remoteAddr)))
}

// base returns how the caller reached us.
func (a *API) base(c caller) string {
	switch {
	case a.PublicURL != "":
		return a.PublicURL
	case !loopbackHost(c.host) && !a.isOwnHost(c.host):
		return "" // it is refused; nothing of ours leads there
	case c.https:
		return "https://" + c.host
	default:
		return "http://" + c.host
	}
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
	a.Logger.ErrorContext(ctx, "panic", "request_id", info.id, "panic", redactTokens(fmt.Sprint(v)), "stack", string(debug.Stack()))
}
