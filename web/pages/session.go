package pages

import (
	"cmp"
	"errors"
	"net/http"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/web"
)

// setSessionCookie sets the session cookie, or deletes it if secret is empty.
func (a *Pages) setSessionCookie(w http.ResponseWriter, r *http.Request, secret string, session auth.Session) {
	//nolint:gosec // Secure over TLS; without TLS, a browser would not send the cookie back
	c := &http.Cookie{
		Name: a.CookieName(r), Value: secret, Path: "/", HttpOnly: true, Secure: a.Secure(r),
		SameSite: http.SameSiteLaxMode, Expires: session.ExpiresAt.Time,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// rotateSession replaces the secret of an old session. If that fails, the old
// secret remains valid.
func (a *Pages) rotateSession(w http.ResponseWriter, r *http.Request) {
	info := api.InfoOf(r.Context())
	if info.Session == "" {
		return
	}
	fresh, err := a.Sessions.Rotate(r.Context(), info.Session, info.SessionState)
	if err != nil {
		a.Logger.WarnContext(r.Context(), "session not rotated", "request_id", info.ID, "err", err)
	}
	if fresh != "" {
		info.Session = fresh
		a.setSessionCookie(w, r, fresh, info.SessionState)
	}
}

// loginPage shows the login form.
func (a *Pages) loginPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if a.Authenticate(r) == nil {
		http.Redirect(w, r, cmp.Or(next, "/"), http.StatusSeeOther) //nolint:gosec // a path on this site
		return
	}
	a.render(w, r, http.StatusOK, "login", web.LoginPage{Page: a.pageFrame(r.Context(), "Sign in", ""), Next: next})
}

// login starts a session.
func (a *Pages) login(w http.ResponseWriter, r *http.Request) {
	if !a.readForm(w, r) {
		return
	}
	name, next := r.PostForm.Get("name"), localPath(r.PostForm.Get("next"))
	credential, err := a.Auth.SignIn(r, name, r.PostForm.Get("password"))
	if err != nil {
		a.RecordLogin(r.Context(), name, err)
		p := a.ProblemOf(r.Context(), err)
		view := web.LoginPage{Page: a.pageFrame(r.Context(), "Sign in", ""), Next: next, Name: name, Error: p.Detail}
		if errors.Is(err, auth.ErrBadCredentials) {
			view.Error = "Incorrect name, password or API key."
		}
		for name, values := range p.GetHeaders() {
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
		a.ProblemPage(w, r, err)
		return
	}
	api.InfoOf(r.Context()).User = a.Auth.User(name)
	a.setSessionCookie(w, r, secret, session)
	http.Redirect(w, r, cmp.Or(next, "/"), http.StatusSeeOther) //nolint:gosec // a path on this site
}

// logout ends the session.
func (a *Pages) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(a.CookieName(r)); err == nil {
		if err := a.Sessions.End(r.Context(), c.Value); err != nil {
			a.ProblemPage(w, r, err)
			return
		}
	}
	a.setSessionCookie(w, r, "", auth.Session{})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}
