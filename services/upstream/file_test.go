package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/keys"
)

// A response becomes a file with its type and its name; one that is cut off becomes none.
func TestResponseAsFile(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/wav")
		switch r.URL.Path {
		case "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="../speech.wav"`)
		case "/cut":
			w.Header().Set("Content-Length", "100")
		case "/refused":
			w.WriteHeader(http.StatusNotFound)
		}
		io.WriteString(w, "RIFF")
	}))
	defer server.Close()
	dir, err := files.Open(t.TempDir(), "test", files.Limits{File: 100, Total: 1000})
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.NewID("job_")
	if err != nil {
		t.Fatal(err)
	}
	ctx := jobs.WithFileStore(jobs.WithRun(t.Context(), jobs.Run{JobID: id}), dir)
	for path, want := range map[string]string{"/named": "speech.wav", "/": "output."} {
		u := newUpstream(t, "request: {url: "+server.URL+path+"}\noutput: file")
		f, err := u.runForFile(ctx, json.RawMessage("{}"))
		if err != nil || !strings.HasPrefix(f.Name, want) && path == "/named" || f.ContentType != "audio/wav" || f.Bytes != 4 {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
	}
	for _, path := range []string{"/cut", "/refused"} {
		u := newUpstream(t, "request: {url: "+server.URL+path+"}\noutput: file")
		if f, err := u.runForFile(ctx, json.RawMessage("{}")); err == nil {
			t.Errorf("%s: %+v", path, f)
		}
	}
	u := newUpstream(t, "request: {url: "+server.URL+"}\noutput: file")
	if _, err := u.runForFile(t.Context(), json.RawMessage("{}")); !errors.Is(err, jobs.ErrNoFiles) || !errors.Is(err, jobs.ErrPermanent) {
		t.Errorf("without a place for files: %v", err)
	}
}

// Files of the input are sent as parts of a form or as the whole body, with their names, types and
// lengths, and again by a retry on another connection.
func TestSendsFiles(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 {
			t.Errorf("%s: the length is %d", r.URL, r.ContentLength)
		}
		if r.URL.Path == "/raw" {
			text, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %v %s", r.Header.Get("Content-Type"), text, err, r.URL.RawQuery)
			return
		}
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"file", "more"} {
			for _, part := range r.MultipartForm.File[name] {
				f, err := part.Open()
				if err != nil {
					t.Error(err)
					continue
				}
				text, err := io.ReadAll(f)
				fmt.Fprintf(w, "%s %s %s %s %v; ", name, part.Filename, part.Header.Get("Content-Type"), text, err)
			}
		}
		fmt.Fprint(w, r.MultipartForm.Value)
	}))
	defer server.Close()
	dir, err := files.Open(t.TempDir(), "test", files.Limits{File: 100, Total: 1000})
	if err != nil {
		t.Fatal(err)
	}
	run := jobs.Run{Uploads: make(map[string]jobs.File)}
	if run.JobID, err = keys.NewID("job_"); err != nil {
		t.Fatal(err)
	}
	save := func(name, text string) string {
		f, err := dir.SaveUpload(t.Context(), run.JobID, name, "", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		run.Uploads[f.ID] = f
		return f.ID
	}
	a, b, empty := save("a \"1\".txt", "hello"), save("b.wav", "RIFF"), save("c.txt", "")
	ctx := jobs.WithFileStore(jobs.WithRun(t.Context(), run), dir)
	const schema = `
input:
  required: [file]
  properties:
    file: {type: string, format: binary}
    more: {type: array, items: {type: string, format: binary}}
    n: {type: integer}
    tags: {type: array, items: {type: string}}
output: text`
	for _, tt := range []struct{ settings, input, want string }{
		{
			"request: {url: " + server.URL + "/form}" + schema, `{"file": "` + a + `", "more": ["` + b + `", "` + empty + `"], "n": 3, "tags": ["x", "y"]}`,
			`"file a \"1\".txt text/plain; charset=utf-8 hello \u003cnil\u003e; more b.wav `,
		},
		{"request: {url: " + server.URL + "/form}" + schema, `{"file": "` + a + `", "n": 3, "tags": ["x", "y"]}`, `map[n:[3] tags:[x y]]`},
		{
			"request: {url: '" + server.URL + "/raw?n={{input.n}}', body: raw}\ninput: {required: [file, n], properties: {file: {type: string, format: binary}, n: {type: integer}}}\noutput: text",
			`{"file": "` + a + `", "n": 3}`, `text/plain; charset=utf-8 hello \u003cnil\u003e n=3`,
		},
	} {
		u := newUpstream(t, tt.settings)
		got, err := u.run(ctx, json.RawMessage(tt.input))
		if err != nil || !strings.Contains(string(got), strings.Trim(tt.want, `"`)) {
			t.Errorf("%s: %s, %v; want %s", tt.input, got, err, tt.want)
		}
	}
	u := newUpstream(t, "request: {url: "+server.URL+"/form}"+schema)
	for input, want := range map[string]string{`{"file": "upload_06h21hft0dwc"}`: "no file of the job's input", `{"file": 3}`: "expected files"} {
		if got, err := u.run(ctx, json.RawMessage(input)); !errors.Is(err, jobs.ErrPermanent) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", input, got, err)
		}
	}
}
