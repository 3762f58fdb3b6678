package pages

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/web"
)

//go:embed snippets
var snippetFiles embed.FS

// snippetTemplates are the code examples on the pages, in each language. Tests
// run them.
var snippetTemplates = template.Must(template.ParseFS(snippetFiles, "snippets/*"))

// snippetLanguages are the languages, with the file name extensions of their
// templates.
var snippetLanguages = []struct{ name, file string }{
	{"curl", "sh"}, {"JavaScript", "mjs"}, {"Go", "go"}, {"Python", "py"},
}

// A snippetView is the data of a snippet template.
type snippetView struct {
	URL, EventsURL, ResultURL string
	Body                      string   // of the submission, as JSON
	Input                     string   // the input in it
	Options                   []option // the options in it
	Files                     []string // properties of the input that are files
	// Secured reports whether the server requires credentials. The snippets
	// read them from the environment.
	Secured bool
}

// Quoted returns text as a string literal that is valid in all four languages.
func (snippetView) Quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// ShellQuoted returns text as a single-quoted shell word.
func (snippetView) ShellQuoted(s string) string {
	return `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'`
}

// Script returns a JavaScript expression for a text of JSON: the value in it, if that is the same in
// JavaScript.
func (v snippetView) Script(body string) string {
	exact := !strings.Contains(body, `"__proto__"`) // would set the prototype
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	for token, err := d.Token(); exact && err == nil; token, err = d.Token() {
		if n, ok := token.(json.Number); ok {
			digits, _, _ := strings.Cut(strings.NewReplacer("-", "", ".", "", "E", "e").Replace(n.String()), "e")
			_, err := n.Float64()
			exact = err == nil && len(digits) <= 15 // what a double can hold
		}
	}
	if !exact {
		return v.Quoted(body)
	}
	return "JSON.stringify(" + body + ")"
}

// submitSnippets returns snippets that submit the job of the form and wait for its output.
func (a *Pages) submitSnippets(ctx context.Context, f *form) ([]web.Snippet, error) {
	view := snippetView{
		URL: api.InfoOf(ctx).BaseURL + "/v1/services/" + f.service.Name + "/jobs", Body: string(f.example()), Secured: !a.Auth.Open(),
	}
	if body := f.values.Get("body"); f.json && json.Valid([]byte(body)) {
		view.Body = string(spaced([]byte(body)))
	}
	if len(f.files) == 0 {
		return snippets("submit", view)
	}
	view.Input, view.Options = string(spaced(f.input(nil, true))), f.options()
	for _, name := range f.validator.PropertyNames(f.schema) {
		if f.files.has(name) && slices.Contains(f.schema.Required, name) {
			view.Files = append(view.Files, name)
		}
	}
	return snippets("upload", view)
}

// jobSnippets returns snippets that watch a job by its token, without
// credentials, and fetch its output.
func (a *Pages) jobSnippets(j *jobs.Job) ([]web.Snippet, error) {
	return snippets("job", snippetView{URL: j.StatusURL, EventsURL: j.EventsURL, ResultURL: j.ResultURL})
}

func snippets(kind string, view snippetView) ([]web.Snippet, error) {
	var all []web.Snippet
	for _, language := range snippetLanguages {
		var b bytes.Buffer
		name := kind + "." + language.file + ".tmpl"
		if snippetTemplates.Lookup(name) == nil { // the language's standard library can't do it in a few lines
			continue
		}
		if err := snippetTemplates.ExecuteTemplate(&b, name, view); err != nil {
			return nil, fmt.Errorf("render snippet: %w", err)
		}
		all = append(all, web.Snippet{
			ID: kind + "-" + language.file, Language: language.name, Code: strings.TrimSpace(b.String()),
		})
	}
	return all, nil
}
