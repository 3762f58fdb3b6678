package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

type movieInput struct {
	Video  string   `json:"video" example:"in.mov" doc:"What to render."`
	Size   *size    `json:"size,omitempty" doc:"Of the pictures."`
	Scenes []scene  `json:"scenes,omitempty" maxItems:"20"`
	Codecs []string `json:"codecs" enum:"av1,h264"`
	Audio  bool     `json:"audio,omitempty" default:"true"`
	Fast   bool     `json:"fast"`
	Draft  bool     `json:"draft,omitempty"`
	Extra  any      `json:"extra,omitempty"`
	Key    string   `json:"key,omitempty" format:"password"`
}

type size struct {
	Width  int `json:"width" minimum:"1" maximum:"4000" example:"640"`
	Height int `json:"height,omitempty" minimum:"1"`
}

type scene struct {
	Title string   `json:"title" maxLength:"10"`
	Tags  []string `json:"tags,omitempty"`
	Size  *size    `json:"size,omitempty"`
}

func addMovie(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "movie"}, func(_ context.Context, in movieInput) (movieInput, error) { return in, nil })
}

// fieldNames returns the names of the fields for the input, in their order.
func fieldNames(page string) (names []string) {
	for _, m := range regexp.MustCompile(` name="input\.([^"]*)"`).FindAllStringSubmatch(page, -1) {
		names = append(names, m[1])
	}
	return names
}

// Objects and lists have fields of their own, in the order of their declaration.
func TestPageNestedForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: addMovie})
	submit := func(form url.Values) (job jobs.Job) {
		t.Helper()
		a := f.post(t, "/services/movie", form)
		if a.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		return f.do(t, "GET", "/v1"+a.Header.Get("Location")+"?wait=20", "").job(t)
	}

	page := f.do(t, "GET", "/services/movie", "").body
	want := []string{"video", "size.width", "size.height", "scenes[0].title", "scenes[0].tags[0]", "scenes[0].size.width", "scenes[0].size.height", "codecs[0]", "audio", "fast", "draft", "extra", "key"}
	if got := fieldNames(page); !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
	for _, want := range []string{
		`name="input.audio" type="checkbox" role="switch" value="true" checked`, `name="input.fast" type="checkbox" role="switch" value="true"`, `<select id="input-draft"`,
		"From 1 to 4000.", "Default: true.", `<legend>Scenes</legend>`, `data-most="20"`, `value="in.mov"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}

	job := submit(url.Values{"input.video": {"a"}})
	if want := `{"video":"a","codecs":[],"audio":false,"fast":false}`; string(job.Input) != want {
		t.Errorf("input %s, want %s", job.Input, want)
	}
	job = submit(url.Values{
		"input.video": {"a"}, "input.size.width": {"5"}, "input.audio": {"true"}, "input.extra": {`{"a": [1]}`},
		"input.codecs[3]": {"av1"}, "input.codecs[12]": {"h264"}, "input.codecs[4]": {""}, "input.codecs[03]": {"no number"}, "input.codecs[-1]": {"none"},
		"input.scenes[2].title": {"two"}, "input.scenes[2].tags[1]": {"x"}, "input.scenes[2].tags[0]": {""}, "input.scenes[2].size.width": {"9"}, "input.scenes[9].title": {""}, "input.unknown": {"x"},
	})
	if want := `{"video":"a","size":{"width":5},"scenes":[{"title":"two","tags":["x"],"size":{"width":9}}],"codecs":["av1","h264"],"audio":true,"fast":false,"extra":{"a":[1]}}`; string(job.Input) != want {
		t.Errorf("input %s, want %s", job.Input, want)
	}

	again := f.do(t, "GET", "/services/movie?from="+job.ID, "").body
	for _, want := range []string{
		`name="input.scenes[0].title" type="text" value="two"`, `name="input.scenes[0].tags[0]" type="text" value="x"`, `name="input.scenes[0].tags[1]" type="text" value=""`, `name="input.scenes[1].title"`,
		`name="input.scenes[0].size.width" type="number" value="9"`, `<option selected>h264</option>`, `name="input.audio" type="checkbox" role="switch" value="true" checked`,
	} {
		if !strings.Contains(html.UnescapeString(again), want) {
			t.Errorf("again: no %s in %s", want, again)
		}
	}

	a := f.post(t, "/services/movie", url.Values{
		"input.video": {"a"}, "input.size.width": {"0"}, "input.scenes[1].title": {"far too long a title"}, "input.scenes[4].tags[0]": {"x"}, "input.codecs[7]": {"gif"}, "input.extra": {"{"}, "input.size.height": {"high"},
	})
	for _, want := range []string{
		`<div id="input-size.width-help"><div class="error">expected at least 1`, `<div id="input-size.height-help"><div class="error">expected a whole number`, `<div id="input-scenes[0].title-help"><div class="error">expected at most 10 characters`,
		`<div id="input-scenes[1].title-help"><div class="error">this is required`, `<div id="input-codecs[0]-help"><div class="error">expected `,
	} {
		if a.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(a.body, want) {
			t.Errorf("%s: no %s in %s", a.Status, want, a.body)
		}
	}
	if n := strings.Count(a.body, "autofocus"); n != 1 {
		t.Errorf("%d fields have the focus", n)
	}
}

// A value that the fields for its property cannot show is shown as JSON, and loses nothing.
func TestPageFormShowsAnyInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: addMovie})
	for _, input := range []string{
		`{"video":"a","codecs":[],"audio":true,"fast":true,"scenes":[{"title":""}]}`,
		`{"video":"a","codecs":["av1"],"audio":false,"fast":true,"scenes":[{"title":"x","tags":["","y"]}]}`,
		`{"video":"a\nb","size":{"width":1},"codecs":[],"audio":true,"fast":false,"draft":false,"extra":{"size":[{"a":null}]}}`,
		`{"video":"a","scenes":[` + strings.Repeat(`{"title":"x"},`, 19) + `{"title":"x"}],"codecs":[` + strings.Repeat(`"av1",`, 99) + `"av1"],"audio":true,"fast":false}`,
	} {
		job := f.submit(t, "movie", `{"input":`+input+`}`)
		page := f.do(t, "GET", "/services/movie?from="+job.ID, "").body
		form := hidden(page)
		for _, m := range regexp.MustCompile(`<input [^>]*name="(input\.[^"]*)" type="[a-z]*"(?: role="switch")? value="([^"]*)"( checked)?|<textarea [^>]*name="(input\.[^"]*)"[^>]*>\n([^<]*)</textarea>|<select [^>]*name="(input\.[^"]*)"[^>]*>(?:<option>[^<]*</option>)*<option selected>([^<]*)`).FindAllStringSubmatch(page, -1) {
			switch {
			case m[1] != "" && (!strings.Contains(m[0], "checkbox") || m[3] != ""):
				form.Set(m[1], html.UnescapeString(m[2]))
			case m[4] != "":
				form.Set(m[4], html.UnescapeString(m[5]))
			case m[6] != "":
				form.Set(m[6], html.UnescapeString(m[7]))
			}
		}
		a := f.post(t, "/services/movie", form)
		if a.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s %s", input, a.Status, a.body)
		}
		if again := f.do(t, "GET", "/v1"+a.Header.Get("Location"), "").job(t); !equalJSON(t, again.Input, []byte(input)) {
			t.Errorf("input %s, want %s", again.Input, input)
		}
	}
}

func equalJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// The form can be shown again with one more item, and with code examples for what was entered. That
// submits nothing.
func TestPageFormEdit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: addMovie})
	snippet := regexp.MustCompile(`(?s)<pre id="submit-sh".*? -d '([^']*)'`)
	page := html.UnescapeString(f.do(t, "GET", "/services/movie", "").body)
	if m := snippet.FindStringSubmatch(page); m == nil || m[1] != `{"input": {"video": "in.mov", "codecs": [], "fast": false}}` {
		t.Errorf("example %q", m)
	}
	a := f.post(t, "/services/movie", url.Values{
		"edit": {"input.codecs"}, "input.video": {`"it's", he said`}, "input.scenes[0].title": {""}, "input.codecs[0]": {"av1"}, "input.size.width": {"wide"}, "input.key": {"secret of the user"}, "tags": {"a, b"}, "priority": {"1"}, "key": {"k"},
	})
	page = html.UnescapeString(a.body)
	if a.StatusCode != http.StatusOK || strings.Contains(page, `class="error"`) || !strings.Contains(page, `name="input.codecs[1]"`) || strings.Contains(page, `name="input.codecs[2]"`) || strings.Contains(page, `name="input.scenes[1].title"`) {
		t.Errorf("%s %s", a.Status, page)
	}
	want := `-d '{"input": {"video": "\"it'\''s\", he said", "size": {"width": "wide"}, "codecs": ["av1"], "audio": false, "fast": false, "key": "…"}, "priority": 1, "tags": ["a", "b"]}'`
	if !strings.Contains(page, want) {
		t.Errorf("no %s in %s", want, page)
	}
	a = f.post(t, "/services/movie", url.Values{"edit": {""}, "as": {"json"}, "body": {`{"input":{"video":"x"},"delay":"5s"}`}})
	if want := `-d '{"input": {"video": "x"}, "delay": "5s"}'`; !strings.Contains(html.UnescapeString(a.body), want) {
		t.Errorf("no %s in %s", want, a.body)
	}
	if list := f.do(t, "GET", "/v1/jobs", "").body; !strings.Contains(list, `"data":[]`) {
		t.Errorf("submitted: %s", list)
	}
}

// The work for a form is linear in its size.
func TestPageFormOfManyItems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: addMovie})
	form := url.Values{"input.video": {"a"}, "input.scenes[0].title": {"x"}}
	for i := range 9_000 {
		form.Set("input.codecs["+strings.Repeat("1", 1+i%9)+string(rune('0'+i%10))+"]", "av1")
		form.Set("input.scenes[0].tags["+url.QueryEscape(strings.Repeat("2", 1+i%9))+"]", "x")
	}
	if a := f.post(t, "/services/movie", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("%s %.2000s", a.Status, a.body)
	}
}
