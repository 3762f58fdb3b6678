package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"coatcheck/api/auth"
	"coatcheck/api/problem"
	"coatcheck/jobs/store"
)

// problemFor sets the fields of a problem that depend on the request.
func problemFor(info *RequestInfo, p *problem.Problem) *problem.Problem {
	return p.ForRequest(info.BaseURL, info.path, info.ID)
}

// WriteProblem responds with a problem, for handlers outside of huma.
func (a *API) WriteProblem(w http.ResponseWriter, r *http.Request, cause error) {
	p := a.ProblemOf(r.Context(), cause)
	maps.Copy(w.Header(), p.GetHeaders())
	if p.Status == http.StatusUnauthorized && r.Header.Get("Sec-Fetch-Dest") == "empty" {
		// A Basic challenge in the response to a script would make the browser
		// open a login dialog on the page.
		w.Header().Set("WWW-Authenticate", `Bearer realm="Authentication Required"`)
	}
	text, err := store.Marshal(p)
	if err != nil {
		a.Logger.ErrorContext(r.Context(), "rendering problem failed", "err", err)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", problem.MediaType)
	// A client that is still sending its request knows from the length that the response is complete.
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	//nolint:gosec // no browser takes JSON for HTML: it is sent with nosniff
	if _, err := w.Write(text); err != nil && r.Context().Err() == nil {
		a.Logger.DebugContext(r.Context(), "problem not sent", "err", err)
	}
}

// ProblemPage responds with a page that describes the error, for browsers. If
// this API has no pages, it responds like writeProblem.
func (a *API) ProblemPage(w http.ResponseWriter, r *http.Request, err error) {
	if a.ProblemPages == nil {
		a.WriteProblem(w, r, err)
		return
	}
	a.ProblemPages(w, r, a.ProblemOf(r.Context(), err))
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Accept"), "text/html") { // a browser
		if err := a.Authenticate(r); err != nil {
			InfoOf(r.Context()).User = auth.User{} // unauthenticated users get the page too
		}
		a.ProblemPage(w, r, problem.New("not-found", "Page not found."))
		return
	}
	a.WriteProblem(w, r, problem.New("not-found", "path not found; GET /docs lists the operations"))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		route := chi.NewRouteContext()
		if !a.router.Match(route, method, r.URL.Path) {
			continue
		}
		if method != http.MethodHead || !slices.Contains(skeletonStarts, route.RoutePattern()) {
			allowed = append(allowed, method)
		}
	}
	slices.Sort(allowed)
	p := problem.New("method-not-allowed", "this path allows "+strings.Join(allowed, ", "))
	p.GetHeaders().Set("Allow", strings.Join(allowed, ", "))
	a.WriteProblem(w, r, p)
}
