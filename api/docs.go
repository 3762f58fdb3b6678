package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/auth"
	"coatcheck/api/document"
	"coatcheck/api/problem"
	"coatcheck/api/reference"
)

// addDocs adds the OpenAPI document and the documentation page.
func (a *API) addDocs() {
	a.router.Get("/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		d, err := a.docsFor(r)
		if err != nil {
			a.WriteProblem(w, r, err)
			return
		}
		text, err := d.spec()
		if err != nil {
			a.WriteProblem(w, r, fmt.Errorf("render the OpenAPI document: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		w.Write(text)
	})
	a.router.Get("/docs", func(w http.ResponseWriter, r *http.Request) {
		d, err := a.docsFor(r)
		if err != nil {
			a.WriteProblem(w, r, err)
			return
		}
		text, err := d.page()
		if err != nil {
			a.WriteProblem(w, r, fmt.Errorf("render the documentation: %w", err))
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", reference.Policy)
		base := template.HTMLEscapeString(InfoOf(r.Context()).BaseURL)
		w.Write(bytes.ReplaceAll(text, []byte(reference.BaseURL), []byte(base)))
	})
	a.router.Get("/problems/{code}", func(w http.ResponseWriter, r *http.Request) {
		for _, code := range problem.Codes() {
			if code == r.PathValue("code") {
				http.Redirect(w, r, "/docs#problem-"+code, http.StatusSeeOther)
				return
			}
		}
		a.notFound(w, r)
	})
}

// renderDocs renders the documentation page.
func (a *API) renderDocs(document *huma.OpenAPI) ([]byte, error) {
	o := reference.Options{Secured: !a.Auth.Open()}
	for _, code := range problem.Codes() {
		o.Problems = append(o.Problems, reference.Problem{Code: code, Status: problem.Status(code), Meaning: problem.Meaning(code)})
	}
	return reference.Render(document, o)
}

// maxDocuments is the maximum number of cached versions of the documentation.
// There is one version for each set of services that a user may run.
const maxDocuments = 64

// docsCache caches the versions of the documentation. Each is rendered on first
// use, because most processes never serve it.
type docsCache struct {
	mu       sync.Mutex // guards rendered
	rendered map[string]*userDocs
}

// userDocs is the OpenAPI document and the documentation page for the users who
// may run the same services.
type userDocs struct {
	spec, page func() ([]byte, error)
}

// docsFor returns the documentation for the user of the request, which includes
// only the services that the user may run. It returns the same errors as
// [auth.Authenticator.Authenticate].
func (a *API) docsFor(r *http.Request) (*userDocs, error) {
	user, err := a.docsUser(r)
	if err != nil {
		return nil, err
	}
	hidden := make(map[string]bool)
	var key strings.Builder
	for s := range a.Services.All() {
		if !user.MayRun(s.Name) {
			hidden[s.Name] = true
			key.WriteString(s.Name + "\x00")
		}
	}
	if a.Auth.Open() { // the page says so
		key.WriteString("open")
	}
	a.docs.mu.Lock()
	defer a.docs.mu.Unlock()
	if d := a.docs.rendered[key.String()]; d != nil {
		return d, nil
	}
	if len(a.docs.rendered) >= maxDocuments || a.docs.rendered == nil {
		a.docs.rendered = make(map[string]*userDocs)
	}
	d := &userDocs{
		spec: sync.OnceValues(func() ([]byte, error) {
			visible, err := document.Without(a.huma.OpenAPI(), hidden, a.serviceSchemas())
			if err != nil {
				return nil, err
			}
			return json.Marshal(visible)
		}),
		page: sync.OnceValues(func() ([]byte, error) {
			visible, err := document.Without(a.huma.OpenAPI(), hidden, a.serviceSchemas())
			if err != nil {
				return nil, err
			}
			return a.renderDocs(visible)
		}),
	}
	a.docs.rendered[key.String()] = d
	return d, nil
}

// docsUser returns the user whose services the documentation includes. Without
// credentials, the documentation includes all services or, if any user is
// restricted, none.
func (a *API) docsUser(r *http.Request) (auth.User, error) {
	err := a.Authenticate(r)
	_, throttled := errors.AsType[*auth.RetryError](err)
	switch {
	case err == nil:
		return InfoOf(r.Context()).User, nil
	case throttled, errors.Is(err, auth.ErrBadCredentials):
		return auth.User{}, err
	}
	// No credentials, or the session lookup failed.
	InfoOf(r.Context()).User = auth.User{}
	if a.Auth.Restricts() {
		return auth.User{Services: []string{}}, nil
	}
	return auth.User{}, nil
}

// serviceSchemas returns the schemas of each service.
func (a *API) serviceSchemas() map[string][]any {
	schemas := make(map[string][]any)
	for s := range a.Services.All() {
		schemas[s.Name] = []any{a.Validator.Input(s.Name), a.Validator.Output(s.Name), a.schemas.submits[s.Name]}
	}
	return schemas
}
