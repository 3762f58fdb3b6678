// Package pages serves the web pages: each is rendered on the server from a view of package web, and
// its forms go through the validation of the API.
package pages

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/api/origin"
	"coatcheck/api/problem"
	"coatcheck/jobs/keys"
	"coatcheck/web"
)

// A page returns the template name and the view of a page. An error is shown as
// a problem page.
type page func(r *http.Request) (name string, view any, err error)

// An action processes a form and returns the path to redirect to.
type action func(r *http.Request) (next string, err error)

// Pages are the web pages of an API. They call it like a client, but without
// HTTP in between.
type Pages struct {
	*api.API
	renderer  *web.Renderer
	startedAt time.Time
}

// Mount adds the web pages and their static files to an API that does not serve
// requests yet.
func Mount(to *api.API) {
	a := &Pages{API: to, renderer: web.New(), startedAt: time.Now()}
	a.ProblemPages = a.showProblem
	for path, file := range web.Files() {
		a.Handle("GET "+path, file.ServeHTTP)
	}
	a.addEngine()
	a.Handle("GET /", a.servePage(a.overviewPage))
	a.Handle("GET /services", a.servePage(a.servicesPage))
	a.Handle("GET /services/{service}", a.servePage(a.servicesPage))
	a.Handle("POST /services/{service}", a.submitPage)
	a.Handle("GET /jobs", a.servePage(a.jobsPage))
	a.Handle("POST /jobs", a.serveForm(a.bulkAction))
	a.Handle("GET /jobs/{job}", a.jobPage)
	a.Handle("POST /jobs/{job}/cancel", a.serveForm(a.cancelAction))
	a.Handle("POST /jobs/{job}/retry", a.serveForm(a.retryAction))
	a.Handle("GET /deliveries", a.servePage(a.deliveriesPage))
	a.Handle("POST /deliveries", a.serveForm(a.redeliverAllAction))
	a.Handle("GET /deliveries/{delivery}", a.servePage(a.deliveryPage))
	a.Handle("POST /deliveries/{delivery}/redeliver", a.serveForm(a.redeliverAction))
	a.Handle("GET /receiver", a.servePage(a.receiverPage))
	a.Handle("POST /receiver", a.serveForm(a.setReceiver))
	a.Handle("POST /receiver/new", a.serveForm(a.newReceiver))
	a.Handle("POST /receiver/test", a.serveForm(a.testReceiver))
	a.Handle("POST /receiver/check", a.checkReceived)
	a.Handle("GET /system", a.servePage(a.systemPage))
	a.Handle("GET /settings", a.servePage(a.settingsPage))
	a.Handle("GET /login", a.loginPage)
	a.Handle("POST /login", a.login)
	a.Handle("POST /logout", a.logout)
}

// servePage serves a page to signed-in users.
func (a *Pages) servePage(show page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.authorizePage(w, r) {
			return
		}
		name, view, err := show(r)
		if to, ok := isRedirect(err); ok {
			http.Redirect(w, r, to, http.StatusSeeOther)
			return
		}
		if err != nil {
			a.ProblemPage(w, r, err)
			return
		}
		a.render(w, r, http.StatusOK, name, view)
	}
}

// serveForm processes a form of a signed-in user. Forms of other origins are
// rejected earlier: see wrap.
func (a *Pages) serveForm(act action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.authorizePage(w, r) {
			return
		}
		if !a.readForm(w, r) {
			return
		}
		next, err := act(r)
		if err != nil {
			a.ProblemPage(w, r, err)
			return
		}
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// authorizePage authenticates the request. It redirects unauthenticated
// requests to the login page and reports whether the request may proceed.
func (a *Pages) authorizePage(w http.ResponseWriter, r *http.Request) bool {
	err := a.Authenticate(r)
	if err == nil {
		a.rotateSession(w, r)
		return true
	}
	if errors.Is(err, auth.ErrNoCredentials) {
		path := "/login"
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			path += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
		}
		http.Redirect(w, r, path, http.StatusSeeOther)
		return false
	}
	a.ProblemPage(w, r, err)
	return false
}

// readForm parses a form of at most MaxBody bytes, in which only ids may be repeated. If that fails, it responds
// with a problem page and returns false.
func (a *Pages) readForm(w http.ResponseWriter, r *http.Request) bool {
	if err := a.CheckBodyHeaders(r); err != nil {
		a.ProblemPage(w, r, err)
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, a.MaxBody)
	err := r.ParseForm()
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		a.ProblemPage(w, r, problem.New("payload-too-large", "a form is limited to "+web.Size(tooLarge.Limit)))
		return false
	}
	if err != nil {
		a.ProblemPage(w, r, problem.New("bad-request", "the form is malformed"))
		return false
	}
	if errs := api.RepeatedNames("body", r.PostForm, map[string]string{"id": ""}); errs != nil {
		a.ProblemPage(w, r, problem.Invalid(errs))
		return false
	}
	return true
}

// pageFrame returns the data that all pages share.
func (a *Pages) pageFrame(ctx context.Context, title, here string) web.Page {
	info := api.InfoOf(ctx)
	return web.Page{
		Title: title, Here: here, User: info.User.Name, CanSignOut: info.Session != "",
		Engine: info.User.Admin && a.Engine != nil,
	}
}

// render responds with a page.
func (a *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	b, err := a.renderer.Render(name, view)
	if err != nil {
		a.WriteProblem(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", web.Policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if !hasToken(r.URL.Path) && !a.Secure(r) && !origin.LoopbackHost(r.Host) {
		// Browsers that do not send Sec-Fetch-Site must send Origin or Referer
		// with forms: it is the only protection against cross-site requests
		// there.
		h.Set("Referrer-Policy", "same-origin")
	}
	w.WriteHeader(status)
	w.Write(b)
}

// showProblem responds with a page that describes the problem.
func (a *Pages) showProblem(w http.ResponseWriter, r *http.Request, p *problem.Problem) {
	view := web.ProblemPage{
		Page: a.pageFrame(r.Context(), p.Title, ""), Status: p.Status, Heading: p.Title, Detail: p.Detail,
		RequestID: p.RequestID,
	}
	if p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests {
		view.Heading = "The page could not be loaded"
		if r.Method == http.MethodGet {
			view.Retry = r.URL.RequestURI()
		} else {
			view.Heading = "The action failed"
			view.Retry = cmp.Or(localPath(r.Referer()), "/")
		}
	}
	for _, e := range p.Errors {
		view.Mistakes = append(view.Mistakes, e.Location+": "+e.Message)
	}
	maps.Copy(w.Header(), p.GetHeaders())
	a.render(w, r, p.Status, "problem", view)
}

// localPath returns the path and query of a URL if redirecting to them stays on
// this site, or "" otherwise.
func localPath(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.Contains(raw, `\`) {
		return ""
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// hasToken reports whether a path contains a job token.
func hasToken(path string) bool { return keys.RedactPath(path) != path }
