package api

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsFS embed.FS

var docsTemplate = template.Must(template.ParseFS(docsFS, "docs.html"))

// A docsOperation is an operation as the documentation page shows it.
type docsOperation struct {
	*huma.Operation
	Method, Path string
	Anyone       bool
	Body         string // schema of the request body
	Answers      []docsResponse
}

type docsResponse struct{ Status, Description string }

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
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Write(text)
	})
	a.router.Get("/problems/{code}", func(w http.ResponseWriter, r *http.Request) {
		for code := range statusOf {
			if code == r.PathValue("code") {
				http.Redirect(w, r, "/docs#problem-"+code, http.StatusSeeOther)
				return
			}
		}
		a.notFound(w, r)
	})
}

// renderDocs renders the documentation page.
func renderDocs(document *huma.OpenAPI) ([]byte, error) {
	byTag := make(map[string][]docsOperation)
	for path, item := range document.Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "DELETE": item.Delete} {
			if op != nil {
				d, err := describeOperation(document, method, path, op)
				if err != nil {
					return nil, err
				}
				byTag[op.Tags[0]] = append(byTag[op.Tags[0]], d)
			}
		}
	}
	type group struct {
		Tag        string
		Operations []docsOperation
	}
	var groups []group
	for _, tag := range []string{"services", "jobs", "callbacks", "operations"} {
		slices.SortFunc(byTag[tag], func(x, y docsOperation) int {
			return cmp.Or(strings.Compare(x.Path, y.Path), strings.Compare(x.Method, y.Method))
		})
		groups = append(groups, group{tag, byTag[tag]})
	}
	schemas := make(map[string]string)
	for name, schema := range document.Components.Schemas.Map() {
		if name == "ErrorModel" || name == "ErrorDetail" {
			continue // huma's error types, which Problem replaces
		}
		text, err := indented(schema)
		if err != nil {
			return nil, err
		}
		schemas[name] = text
	}
	type problem struct {
		Code   string
		Status int
	}
	var problems []problem
	for _, code := range slices.Sorted(maps.Keys(statusOf)) {
		problems = append(problems, problem{code, statusOf[code]})
	}
	var b bytes.Buffer
	err := docsTemplate.Execute(&b, map[string]any{
		"Info": document.Info, "Groups": groups, "Schemas": schemas, "Problems": problems,
	})
	return b.Bytes(), err
}

func describeOperation(document *huma.OpenAPI, method, path string, op *huma.Operation) (docsOperation, error) {
	d := docsOperation{
		Operation: op, Method: method, Path: path, Anyone: len(op.Security) == 0 || len(op.Security[0]) == 0,
	}
	if op.RequestBody != nil {
		schema := op.RequestBody.Content["application/json"].Schema
		if schema.Ref != "" {
			schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
		}
		var err error
		if d.Body, err = indented(schema); err != nil {
			return d, err
		}
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		d.Answers = append(d.Answers,
			docsResponse{status, cmp.Or(op.Responses[status].Description, http.StatusText(http.StatusOK))})
	}
	return d, nil
}

func indented(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", fmt.Errorf("render schema: %w", err)
	}
	return string(b), nil
}
