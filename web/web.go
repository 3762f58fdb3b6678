// Package web renders the web pages from HTML templates, CSS and ES modules.
// There is no build step and nothing is loaded from other sites. All content can
// be read without JavaScript. Callers provide the data.
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

// Policy is the Content-Security-Policy (W3C CSP 3) of the pages: they load only
// this server's files and run no inline scripts.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ElementPath is the path from which other sites load the element
// <job-progress>. Its behavior stays compatible; an incompatible version gets a new
// path.
const ElementPath = "/embed/v1/job-progress.js"

// A Renderer renders pages. Create it with [New].
type Renderer struct{ templates map[string]*template.Template }

// New parses the templates. It panics if one is invalid.
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

// Render renders the template with the given name. The view is a struct that
// embeds [Page].
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

// Files returns the handlers of the static files by path. It panics if a file is
// missing from the binary.
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

// element allows other origins to load the file.
func element(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
		h.ServeHTTP(w, r)
	})
}

// file serves a file with an ETag, so that browsers can cache it until it changes.
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
