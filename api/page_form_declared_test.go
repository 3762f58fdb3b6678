package api_test

import (
	"context"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

// Forms of declared schemas lose no member that has no field, send numbers of enumerations without a
// type, and have valid ids.
func TestPageFormOfDeclaredSchema(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: func(r *jobs.Registry) {
		jobs.Add(r, jobs.Service{
			Name: "declared", OutputSchema: json.RawMessage(`{}`),
			InputSchema: json.RawMessage(`{"type": "object", "required": ["level"], "properties": {
				"level": {"enum": [1, "high"]}, "name": {"type": "string", "default": "Ada"}, "two words": {"type": "string", "description": "Help."},
				"env": {"type": "object", "properties": {"PATH": {"type": "string"}}, "additionalProperties": {"type": "string"}},
				"args": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}}}`),
		}, func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	}})
	page := html.UnescapeString(f.do(t, "GET", "/services/declared", "").body)
	for _, want := range []string{
		`<input id="input-two_words" name="input.two words" type="text" value="" aria-describedby="input-two_words-help">`, `<div id="input-two_words-help">`,
		`<textarea id="input-env" name="input.env"`, `name="input.args.a"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}

	a := f.post(t, "/services/declared", url.Values{"input.level": {"1"}, "input.env": {`{"PATH": "/bin", "HOME": "/"}`}})
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	job := f.do(t, "GET", "/v1"+a.Header.Get("Location"), "").job(t)
	if want := `{"level":1,"env":{"PATH": "/bin", "HOME": "/"}}`; !equalJSON(t, job.Input, []byte(want)) {
		t.Errorf("input %s, want %s", job.Input, want)
	}
	again := f.do(t, "GET", "/services/declared?from="+job.ID, "").body
	link := regexp.MustCompile(`href="([^"]*)">Edit as JSON`).FindStringSubmatch(again)
	if !strings.Contains(again, `name="input.level"`) || link == nil {
		t.Fatalf("no form in %s", again)
	}
	if page := f.do(t, "GET", html.UnescapeString(link[1]), "").body; !strings.Contains(html.UnescapeString(page), `"HOME": "/"`) {
		t.Errorf("as JSON: %s", page)
	}

	for _, input := range []string{`{"level":"high","other":[1]}`, `{"level":1,"name":""}`} {
		job := f.submit(t, "declared", `{"input":`+input+`}`)
		again := html.UnescapeString(f.do(t, "GET", "/services/declared?from="+job.ID, "").body)
		_, body, _ := strings.Cut(again, `name="body"`)
		_, body, _ = strings.Cut(body, "\n")
		body, _, _ = strings.Cut(body, "</textarea>")
		if !json.Valid([]byte(body)) || !equalJSON(t, []byte(body), []byte(`{"input":`+input+`}`)) {
			t.Errorf("%s again is %s", input, body)
		}
	}
}
