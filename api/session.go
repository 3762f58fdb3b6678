package api

import (
	"errors"
	"net/http"
	"strings"

	"coatcheck/api/auth"
)

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
