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

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"coatcheck/api/auth"
	"coatcheck/api/conn"
	"coatcheck/api/origin"
	"coatcheck/api/problem"
	"coatcheck/jobs/keys"
)

// RequestInfo has the properties of a request that handlers and logs use.
type RequestInfo struct {
	ID      string // in the response, its problems and the log
	BaseURL string // base URL as the client sees it, such as "https://host"
	path    string // without tokens
	method  string
	// remoteAddr is the address and port of the client.
	remoteAddr string
	header     http.Header
	conn       *conn.Connection // nil if connections are not counted
	User       auth.User        // authenticated user; zero if the request has only a token
	// Session is the secret in the session cookie that authenticated the
	// request; empty for other credentials.
	Session      string
	SessionState auth.Session

	// onEnd is called at the end of the request.
	onEnd []func()
	// form is the multipart form of the request; nil if it has none. maySubmit reports whether
	// CheckMaySubmit was called before the form was read.
	form      *Form
	maySubmit bool

	start    time.Time
	pattern  string // route pattern, set at the end of the request
	detached bool   // the response continues after the handler has returned
}

// forStream returns a copy for a stream. It omits the headers, which would use
// memory for as long as the stream lasts.
func (info *RequestInfo) forStream() *RequestInfo {
	return &RequestInfo{
		ID: info.ID, BaseURL: info.BaseURL, path: info.path, method: info.method, remoteAddr: info.remoteAddr,
		conn: info.conn, User: info.User, start: info.start,
	}
}

type infoKey struct{}

// InfoOf returns the properties of the request that has the context.
func InfoOf(ctx context.Context) *RequestInfo {
	if info, ok := ctx.Value(infoKey{}).(*RequestInfo); ok {
		return info
	}
	return new(RequestInfo)
}

// wrap adds the middleware that all requests share, the outermost last.
func (a *API) wrap(h http.Handler) http.Handler {
	h = a.origin.RefuseCrossOrigin(h)
	h = a.rejectAmbiguous(h)
	h = a.origin.AllowTokenCORS(h)
	h = a.origin.CheckHost(h)
	h = a.origin.RefuseProxied(h)
	h = a.recoverPanic(h)
	return a.withRequestInfo(a.withDeadlines(h))
}

// withRequestInfo adds a RequestInfo to the context, sets the common response
// headers, and logs and counts the request.
func (a *API) withRequestInfo(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := a.origin.CallerOf(r)
		info := &RequestInfo{
			start: time.Now(),
			ID:    "req_" + strings.ToLower(rand.Text()), BaseURL: a.origin.BaseURL(caller), path: keys.RedactPath(r.URL.Path),
			method: r.Method, remoteAddr: caller.Addr, header: r.Header, conn: conn.Of(r.Context()),
		}
		route := chi.NewRouteContext() // our own route context, to read the pattern after the request
		route.Routes = a.router
		ctx := context.WithValue(r.Context(), infoKey{}, info)
		r = r.WithContext(context.WithValue(ctx, chi.RouteCtxKey, route))
		r.RemoteAddr, r.Host = caller.Addr, caller.Host // as the client sees them, for all subsequent handlers
		h := w.Header()
		if a.Secure(r) && !origin.IsLocalhost(r.Host) {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.Set("X-Request-Id", info.ID)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // URLs contain tokens
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Vary", "Authorization, Cookie") // owners see more of a job
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

// recordRequest logs and counts a completed request.
func (a *API) recordRequest(info *RequestInfo, status, bytes int) {
	took := time.Since(info.start)
	a.metrics.observe(info.method, info.pattern, status, took)
	level := slog.LevelInfo
	if slices.Contains([]string{"/healthz", "/readyz", "/metrics"}, info.pattern) {
		level = slog.LevelDebug
	}
	a.Logger.LogAttrs(context.Background(), level, "request", slog.String("request_id", info.ID),
		slog.String("method", info.method), slog.String("path", info.path),
		slog.Int("status", status), slog.Int("bytes", bytes),
		slog.Float64("took_ms", float64(took.Microseconds())/1000), slog.String("user", info.User.Name),
		slog.String("client", clientOf(info.remoteAddr)))
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
			a.logPanic(r.Context(), InfoOf(r.Context()), v)
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				panic(http.ErrAbortHandler) // abort the response, which has already begun
			}
			a.WriteProblem(w, r,
				problem.New("internal", "internal error; the server log has details under this request ID"))
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *API) logPanic(ctx context.Context, info *RequestInfo, v any) {
	a.Logger.ErrorContext(ctx, "panic", "request_id", info.ID, "panic", keys.RedactText(fmt.Sprint(v)), "stack",
		string(debug.Stack()))
}
