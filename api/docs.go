package api

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

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
