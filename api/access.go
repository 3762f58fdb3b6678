package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"coatcheck/api/auth"
	"coatcheck/api/origin"
	"coatcheck/jobs"
)

// FindJob returns the job with the given id or token as the caller may see it.
// Jobs of other users are reported as not found.
func (a *API) FindJob(ctx context.Context, ref string) (jobs.Job, error) {
	job, err := a.loadJob(ctx, ref)
	if err != nil {
		return jobs.Job{}, err
	}
	return InfoOf(ctx).visibleJob(ref, job), nil
}

// errInvalidToken means that a token was not issued by this server, or was changed.
var errInvalidToken = errors.New("invalid token")

// loadJob returns the job with all fields, including those that the caller may
// not see. For a removed job, it returns the id together with
// [jobs.ErrRemoved].
func (a *API) loadJob(ctx context.Context, ref string) (jobs.Job, error) {
	user := InfoOf(ctx).User
	id, byToken := ref, isTokenRef(ref)
	if byToken {
		var ok bool
		if id, ok = a.Queue.Keys.VerifyToken(ref); !ok {
			return jobs.Job{}, errInvalidToken
		}
	}
	job, err := a.Queue.Get(ctx, id)
	if err != nil && !errors.Is(err, jobs.ErrRemoved) {
		return jobs.Job{}, err
	}
	owns := user.Name != "" && (user.Admin || user.Name == job.Owner)
	if !owns && !byToken {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return job, err
}

// OwnedJob returns the job with the given id or token if the caller may change
// it.
func (a *API) OwnedJob(ctx context.Context, ref string) (jobs.Job, error) {
	job, err := a.loadJob(ctx, ref)
	if err != nil {
		return jobs.Job{}, err
	}
	if user := InfoOf(ctx).User; !user.Admin && user.Name != job.Owner {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return job, nil
}

// isTokenRef reports whether a job reference in a URL is a token rather than an
// id.
func isTokenRef(ref string) bool { return strings.Contains(ref, ".") }

// visibleJob returns the job as the caller may see it: with its token if ref is
// the token, and with its input if the caller owns the job.
func (info *RequestInfo) visibleJob(ref string, job jobs.Job) jobs.Job {
	switch {
	case isTokenRef(ref):
		return job.Opened(info.BaseURL)
	case info.User.Admin || info.User.Name == job.Owner:
		return job.Closed(info.BaseURL)
	default:
		return job.Closed(info.BaseURL).WithoutInput()
	}
}

// authorize returns middleware that authenticates requests that need
// credentials, before their body is read.
func (a *API) authorize(required access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if required == userOnly || required == tokenOrUser && !origin.UsesToken(r) {
			if err := a.Authenticate(r); err != nil {
				a.WriteProblem(w, r, err)
				return
			}
		}
		next(ctx)
	}
}

// Authenticate identifies the user by the Authorization header or by the
// session cookie, and stores the user in the request's info.
func (a *API) Authenticate(r *http.Request) error {
	err := a.authenticateHeader(r)
	if errors.Is(err, auth.ErrNoCredentials) {
		InfoOf(r.Context()).User, err = a.sessionUser(r)
	}
	return err
}

// authenticateHeader identifies the user by the Authorization header only, and
// stores the user in the request's info.
func (a *API) authenticateHeader(r *http.Request) (err error) {
	InfoOf(r.Context()).User, err = a.Auth.Authenticate(r)
	a.RecordLogin(r.Context(), claimedName(r), err)
	return err
}

// sessionCookie is the name of the session cookie. Over TLS it gets the prefix
// __Host-, which prevents other hosts from setting it (RFC 6265bis, section
// 4.1.3).
const sessionCookie = "coatcheck_session"

// CookieName returns the name of the session cookie for the request.
func (a *API) CookieName(r *http.Request) string {
	if a.Secure(r) {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// Secure reports whether the client uses TLS.
func (a *API) Secure(r *http.Request) bool {
	return strings.HasPrefix(InfoOf(r.Context()).BaseURL, "https://")
}

// sessionUser returns the user of the request's session, or
// auth.ErrNoCredentials without a valid session.
func (a *API) sessionUser(r *http.Request) (auth.User, error) {
	c, err := r.Cookie(a.CookieName(r))
	if err != nil || c.Value == "" {
		return auth.User{}, auth.ErrNoCredentials
	}
	session, err := a.Sessions.Find(r.Context(), c.Value)
	if errors.Is(err, auth.ErrNoSession) {
		return auth.User{}, auth.ErrNoCredentials
	}
	if err != nil {
		return auth.User{}, err
	}
	// Removed users and users with a new password must sign in again.
	if !a.Auth.ValidCredential(session.Owner, session.Credential) {
		return auth.User{}, auth.ErrNoCredentials
	}
	info := InfoOf(r.Context())
	info.Session, info.SessionState = c.Value, session
	return a.Auth.User(session.Owner), nil
}

// RecordLogin counts and logs a login error if the credentials were wrong or
// the client was throttled.
func (a *API) RecordLogin(ctx context.Context, name string, err error) {
	_, throttled := errors.AsType[*auth.RetryError](err)
	if !throttled && !errors.Is(err, auth.ErrBadCredentials) {
		return
	}
	info := InfoOf(ctx)
	if count := a.failedLogins.Count(auth.Address(info.remoteAddr)); count > 0 {
		a.Logger.LogAttrs(ctx, slog.LevelWarn, "failed login", slog.String("request_id", info.ID),
			slog.String("name", auth.LoggedName(name)),
			slog.String("client", clientOf(info.remoteAddr)), slog.Bool("throttled", throttled),
			slog.Int("count", count))
	}
}

// claimedName returns the user name in the request's credentials, or "" for an
// API key.
func claimedName(r *http.Request) string {
	name, _, _ := r.BasicAuth()
	return name
}

// clientOf returns the address without its port.
func clientOf(remoteAddr string) string {
	addr, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	return addr.Addr().Unmap().String()
}
