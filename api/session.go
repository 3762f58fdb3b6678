package api

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"coatcheck/api/auth"
	"coatcheck/web"
)

// sessionCookie is the name of the session cookie. Over TLS it gets the prefix
// __Host-, which prevents other hosts from setting it (RFC 6265bis, section
// 4.1.3).
const sessionCookie = "coatcheck_session"

// cookieName returns the name of the session cookie for the request.
func (a *API) cookieName(r *http.Request) string {
	if a.secure(r) {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// secure reports whether the client uses TLS.
func (a *API) secure(r *http.Request) bool {
	return strings.HasPrefix(infoOf(r.Context()).baseURL, "https://")
}

// setSessionCookie sets the session cookie, or deletes it if secret is empty.
func (a *API) setSessionCookie(w http.ResponseWriter, r *http.Request, secret string, session auth.Session) {
	//nolint:gosec // Secure over TLS; without TLS, a browser would not send the cookie back
	c := &http.Cookie{
		Name: a.cookieName(r), Value: secret, Path: "/", HttpOnly: true, Secure: a.secure(r),
		SameSite: http.SameSiteLaxMode, Expires: session.ExpiresAt.Time,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sessionUser returns the user of the request's session, or
// auth.ErrNoCredentials without a valid session.
func (a *API) sessionUser(r *http.Request) (auth.User, error) {
	c, err := r.Cookie(a.cookieName(r))
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
	info := infoOf(r.Context())
	info.session, info.sessionState = c.Value, session
	return a.Auth.User(session.Owner), nil
}

// rotateSession replaces the secret of an old session. If that fails, the old
// secret remains valid.
func (a *API) rotateSession(w http.ResponseWriter, r *http.Request) {
	info := infoOf(r.Context())
	if info.session == "" {
		return
	}
	fresh, err := a.Sessions.Rotate(r.Context(), info.session, info.sessionState)
	if err != nil {
		a.Logger.WarnContext(r.Context(), "session not rotated", "request_id", info.id, "err", err)
	}
	if fresh != "" {
		info.session = fresh
		a.setSessionCookie(w, r, fresh, info.sessionState)
	}
}

// loginPage shows the login form.
func (a *API) loginPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if a.authenticate(r) == nil {
		http.Redirect(w, r, cmp.Or(next, "/"), http.StatusSeeOther) //nolint:gosec // a path on this site
		return
	}
	a.render(w, r, http.StatusOK, "login", web.LoginPage{Page: a.pageFrame(r.Context(), "Sign in", ""), Next: next})
}

// login starts a session.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	if !a.readForm(w, r) {
		return
	}
	name, next := r.PostForm.Get("name"), localPath(r.PostForm.Get("next"))
	credential, err := a.Auth.SignIn(r, name, r.PostForm.Get("password"))
	if err != nil {
		a.recordLogin(r.Context(), name, err)
		p := a.problem(r.Context(), err)
		view := web.LoginPage{Page: a.pageFrame(r.Context(), "Sign in", ""), Next: next, Name: name, Error: p.Detail}
		if errors.Is(err, auth.ErrBadCredentials) {
			view.Error = "Incorrect name, password or API key."
		}
		for name, values := range p.header {
			if name != "Www-Authenticate" { // the browser would open a login dialog
				w.Header()[name] = values
			}
		}
		a.render(w, r, p.Status, "login", view)
		return
	}
	// Always create a new secret, to prevent session fixation.
	secret, session, err := a.Sessions.Begin(r.Context(), name, credential)
	if err != nil {
		a.problemPage(w, r, err)
		return
	}
	infoOf(r.Context()).user = a.Auth.User(name)
	a.setSessionCookie(w, r, secret, session)
	http.Redirect(w, r, cmp.Or(next, "/"), http.StatusSeeOther) //nolint:gosec // a path on this site
}

// logout ends the session.
func (a *API) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(a.cookieName(r)); err == nil {
		if err := a.Sessions.End(r.Context(), c.Value); err != nil {
			a.problemPage(w, r, err)
			return
		}
	}
	a.setSessionCookie(w, r, "", auth.Session{})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
