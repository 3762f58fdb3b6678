package upstream

import (
	"encoding/json"
	"errors"
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
