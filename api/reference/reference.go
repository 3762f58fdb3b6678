// Package reference renders the API reference, an HTML page, from an OpenAPI document, and makes
// examples from its schemas. The page can be read without JavaScript; with it, the page has a
// search, and requests can be sent from it (web/static/docs.js).
package reference

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// BaseURL stands for the base URL of the server in a page, because pages are cached and each
// client has the URL that it came by. The caller replaces it.
const BaseURL = "https://base.invalid"

// Policy is the Content-Security-Policy of the page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A Problem is a kind of error response.
type Problem struct {
	Code    string
	Status  int
	Meaning string
}

// Options are what the page needs besides the document.
type Options struct {
	// Secured reports whether the server has users, so that most requests need credentials.
	Secured bool
	// Problems are all kinds of problems, in the order in which they are shown.
	Problems []Problem
}

// A page is the data of the template.
type page struct {
	Info     *huma.Info
	Secured  bool
	Groups   []group
	Schemas  []namedSchema
	Problems []Problem
}

// A group has the operations of a tag.
type group struct {
	Name, Description string
	Operations        []operation
}

// A namedSchema is a schema that operations refer to.
type namedSchema struct {
	Name, Description string
	Rows              []row
	Raw               string
}

// A renderer makes the data of the page.
type renderer struct {
	Options
	document *huma.OpenAPI
	schemas  Schemas
	service  string // a service for examples
}

// Render renders the page, with [BaseURL] in place of the server's URL.
func Render(document *huma.OpenAPI, o Options) ([]byte, error) {
	r := &renderer{Options: o, document: document, schemas: SchemasOf(document), service: "SERVICE"}
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		if op := document.Paths[path].Post; op != nil && submits(op) {
			r.service = serviceOf(op)
			break
		}
	}
	groups, err := r.groups()
	if err != nil {
		return nil, err
	}
	schemas, err := r.namedSchemas()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = pageTemplate.Execute(&b, page{document.Info, o.Secured, groups, schemas, o.Problems})
	return b.Bytes(), err
}

// submits reports whether an operation submits a job to a service.
func submits(op *huma.Operation) bool { return strings.HasPrefix(op.OperationID, "submit-") }

// serviceOf returns the service of an operation that submits a job.
func serviceOf(op *huma.Operation) string { return strings.TrimPrefix(op.OperationID, "submit-") }

// groups returns the operations by tag, ordered by path, with submissions behind what they are
// found by.
func (r *renderer) groups() ([]group, error) {
	byTag := make(map[string][]operation)
	for path, item := range r.document.Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "DELETE": item.Delete} {
			if op == nil || op.Hidden {
				continue
			}
			o, err := r.operation(method, path, op)
			if err != nil {
				return nil, fmt.Errorf("render %s %s: %w", method, path, err)
			}
			byTag[op.Tags[0]] = append(byTag[op.Tags[0]], o)
		}
	}
	var groups []group
	for _, tag := range r.document.Tags {
		operations := byTag[tag.Name]
		slices.SortFunc(operations, func(x, y operation) int {
			return cmp.Or(cmp.Compare(rank(x), rank(y)), strings.Compare(x.Path, y.Path), order[x.Method]-order[y.Method])
		})
		groups = append(groups, group{tag.Name, tag.Description, operations})
	}
	return groups, nil
}

var order = map[string]int{"GET": 0, "POST": 1, "DELETE": 2}

// rank puts submissions and what few readers look for behind the other operations of a group.
func rank(o operation) int {
	if o.Service != "" || o.Path == "/v1/events" || strings.HasPrefix(o.Path, "/.") {
		return 1
	}
	return 0
}

// namedSchemas returns the schemas of the document, without those of submissions, which are shown
// at their operations, and huma's own errors.
func (r *renderer) namedSchemas() ([]namedSchema, error) {
	var named []namedSchema
	for _, name := range slices.Sorted(maps.Keys(r.schemas)) {
		if name == "ErrorModel" || name == "ErrorDetail" || strings.HasPrefix(name, "Submit.") {
			continue
		}
		raw, err := indented(r.schemas[name])
		if err != nil {
			return nil, err
		}
		named = append(named, namedSchema{name, r.schemas[name].Description, r.schemas.rows(r.schemas[name], 0), raw})
	}
	return named, nil
}
