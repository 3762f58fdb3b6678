// Package web is what the pages look like: templates of HTML, CSS and ES
// modules. There is no build step, nothing comes from elsewhere, and all that
// is to be read can be read without JavaScript. Where the data comes from is
// not its business.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed templates static embed
var files embed.FS

// Policy is the Content-Security-Policy (W3C CSP 3) of the pages: what is not
// ours is not loaded, and nothing inline is run.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ElementPath is where other sites get the element <job-progress> from. What
// is there never changes what it does; that would be a new version.
const ElementPath = "/embed/v1/job-progress.js"

// A Renderer renders pages. Make it with [New].
type Renderer struct{ templates map[string]*template.Template }

// New reads the templates. It panics when one of them is wrong.
func New() *Renderer {
	r := &Renderer{templates: make(map[string]*template.Template)}
	layout := template.Must(template.New("").Funcs(functions()).ParseFS(files, "templates/layout.html"))
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err) // embedded
	}
	for _, name := range names {
		page := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		if page != "layout" {
			r.templates[page] = template.Must(template.Must(layout.Clone()).ParseFS(files, name))
		}
	}
	return r
}

// Render renders a page by the name of its template, from a struct that
// embeds a [Page].
func (r *Renderer) Render(name string, view any) ([]byte, error) {
	t := r.templates[name]
	if t == nil {
		return nil, fmt.Errorf("no page %s", name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name+".html", view); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Files returns what serves each path of a file that pages need. It panics
// when a file is missing from the binary.
func Files() map[string]http.Handler {
	routes := map[string]http.Handler{ElementPath: element(file(strings.TrimPrefix(ElementPath, "/")))}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		panic(err) // embedded
	}
	for _, entry := range entries {
		routes["/static/"+entry.Name()] = file("static/" + entry.Name())
	}
	return routes
}

// element lets pages of other origins load the element.
func element(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.ServeHTTP(w, r)
	})
}

// file serves a file, which browsers keep as long as it does not change.
func file(name string) http.Handler {
	b, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded
	}
	sum := sha256.Sum256(b)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	})
}
