package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"coatcheck/jobs"
)

// A form that is sent again, because the connection was closed meanwhile, has the boundary that its header names.
func TestSendsFormAgain(t *testing.T) {
	t.Parallel()
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests == 2 { // the second request on the connection of the first
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `"`+r.FormValue("a")+`"`)
	}))
	defer server.Close()
	u := newUpstream(t, "request: {url: "+server.URL+", body: multipart, idempotency_key: true}\n"+
		"input: {required: [a], properties: {a: {type: string}}}")
	ctx := jobs.WithRun(t.Context(), jobs.Run{JobID: "job_1"})
	for range 2 {
		if got, err := u.run(ctx, json.RawMessage(`{"a": "x"}`)); err != nil || string(got) != `"x"` {
			t.Errorf("%s, %v", got, err)
		}
	}
}

// A brokenStore can't be reached.
type brokenStore struct{ jobs.FileStore }

func (brokenStore) Open(context.Context, string, string) (io.ReadSeekCloser, error) {
	return nil, errors.New("the store can't be reached")
}

// A job whose file can't be read now is retried.
func TestRetriesUnreadableFile(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	u := newUpstream(t, "request: {url: "+server.URL+"}\n"+
		"input: {required: [file], properties: {file: {type: string, format: binary}}}")
	ctx := jobs.WithRun(t.Context(), jobs.Run{JobID: "job_1", Uploads: map[string]jobs.File{"upload_1": {}}})
	_, err := u.run(jobs.WithFileStore(ctx, brokenStore{}), json.RawMessage(`{"file": "upload_1"}`))
	if err == nil || !strings.Contains(err.Error(), "can't be reached") || errors.Is(err, jobs.ErrPermanent) {
		t.Errorf("%v; want an error that is not permanent", err)
	}
}
