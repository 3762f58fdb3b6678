package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

type renderInput struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	Type    string `json:"type,omitempty"`
	Fail    bool   `json:"fail,omitempty"`
}

// addRender adds a service that returns a file.
func addRender(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "render", MaxAttempts: 1}, func(ctx context.Context, in renderInput) (jobs.File, error) {
		if _, err := jobs.SaveFile(ctx, "draft.txt", "", strings.NewReader("draft")); err != nil {
			return jobs.File{}, err
		}
		f, err := jobs.SaveFile(ctx, in.Name, in.Type, strings.NewReader(in.Content))
		if in.Fail {
			return jobs.File{}, errors.New("no")
		}
		return f, err
	})
	jobs.Add(r, jobs.Service{Name: "forge", MaxAttempts: 1}, func(context.Context, struct{}) (jobs.File, error) {
		return jobs.File{Name: "passwd"}, nil
	})
}

// request sends a request with headers and returns the response and its body.
func request(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp, b.String()
}

// A job's output is a file: its description is in the job, the file at the result URL, in parts
// where the caller wants them, and never as a page of this origin.
func TestOutputFile(t *testing.T) { eachStore(t, testOutputFile) }

func testOutputFile(t *testing.T, kind storeKind) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, place := withFiles(t, kind, files.Limits{File: 1000, Total: 10_000})
		f := newFixture(t, db, o)
		a := f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "../a b.txt", "content": "0123456789"}}`, "Prefer: wait=20")
		job := a.job(t)
		const sum = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
		for _, want := range []string{
			`"name":"a b.txt"`, `"content_type":"text/plain; charset=utf-8"`, `"bytes":10`, `"sha256":"` + sum + `"`,
			`"output":{"url":"` + job.ResultURL + `"`,
		} {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s lacks %s", a.body, want)
			}
		}
		if found := place.settled(t, 1); len(found) != 1 {
			t.Errorf("stored are %q, want the output only", found)
		}

		resp, body := request(t, "GET", job.ResultURL, "Accept: video/mp4")
		if resp.StatusCode != 200 || body != "0123456789" || resp.Header.Get("Etag") != `"`+sum+`"` ||
			resp.Header.Get("Content-Length") != "10" || resp.Header.Get("Accept-Ranges") != "bytes" ||
			resp.Header.Get("Content-Disposition") != `inline; filename="a b.txt"` ||
			!strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") ||
			resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %q %v", resp.Status, body, resp.Header)
		}
		for _, tt := range []struct {
			method, header string
			status         int
			body           string
		}{
			{"GET", "Range: bytes=2-4", 206, "234"},
			{"GET", "Range: bytes=-3", 206, "789"},
			{"GET", "Range: bytes=20-", 416, ""},
			{"GET", `If-None-Match: "` + sum + `"`, 304, ""},
			{"GET", `If-None-Match: "other"`, 200, "0123456789"},
			{"HEAD", "Accept: */*", 200, ""},
		} {
			resp, body := request(t, tt.method, job.ResultURL, tt.header)
			if resp.StatusCode != tt.status || tt.status < 400 && body != tt.body {
				t.Errorf("%s with %s: %s %q", tt.method, tt.header, resp.Status, body)
			}
		}
		if err := f.queue.Delete(t.Context(), job.ID, true); err != nil {
			t.Fatal(err)
		}
		if found := place.settled(t, 0); len(found) != 0 {
			t.Errorf("after the job was deleted, %q are left", found)
		}
	})
}

// What a browser could run is a download, whatever the service calls it.
func TestOutputFileIsNoPage(t *testing.T) {
	o, _ := withFiles(t, inDir, files.Limits{File: 1000, Total: 10_000})
	f := newFixture(t, jobstest.SQLite(t), o)
	for media, want := range map[string]string{
		"text/html": "attachment", "image/svg+xml": "attachment", "application/pdf": "attachment", "": "attachment",
		"image/png": "inline", "video/mp4": "inline", "nonsense": "attachment",
	} {
		job := f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "<script>", "type": "`+media+`"}}`, "Prefer: wait=20").job(t)
		resp, _ := request(t, "GET", job.ResultURL)
		if got, _, _ := strings.Cut(resp.Header.Get("Content-Disposition"), ";"); got != want {
			t.Errorf("%s: %s, want %s", media, got, want)
		}
	}
}

// A file over a limit ends the job with an error that names the limit, and nothing is left of it.
func TestOutputFileLimits(t *testing.T) { eachStore(t, testOutputFileLimits) }

func testOutputFileLimits(t *testing.T, kind storeKind) {
	o, place := withFiles(t, kind, files.Limits{File: 1000, Total: 1500})
	f := newFixture(t, jobstest.SQLite(t), o)
	submit := func(content string) string {
		return f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "`+content+`"}}`, "Prefer: wait=20").body
	}
	if got := submit(strings.Repeat("x", 1001)); !strings.Contains(got, "files.max_file") || !strings.Contains(got, `"status":"failed"`) {
		t.Errorf("too large: %s", got)
	}
	if got := submit(strings.Repeat("x", 1000)); !strings.Contains(got, `"status":"succeeded"`) {
		t.Errorf("within the limit: %s", got)
	}
	if got := submit(strings.Repeat("x", 600)); !strings.Contains(got, "files.max_total") {
		t.Errorf("too much in total: %s", got)
	}
	if got := f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "y", "fail": true}}`, "Prefer: wait=20").body; !strings.Contains(got, `"status":"failed"`) {
		t.Errorf("failed: %s", got)
	}
	if got := f.do(t, "POST", "/v1/services/forge/jobs", `{"input": {}}`, "Prefer: wait=20").body; !strings.Contains(got, "jobs.SaveFile") {
		t.Errorf("not saved: %s", got)
	}
	if found := place.settled(t, 1); len(found) != 1 {
		t.Errorf("stored are %q, want one file", found)
	}
}

// Files that a dead process has left behind are deleted at the next start; those of jobs stay.
func TestOrphanedFilesAreSwept(t *testing.T) { eachStore(t, testOrphanedFilesAreSwept) }

func testOrphanedFilesAreSwept(t *testing.T, kind storeKind) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, place := withFiles(t, kind, files.Limits{File: 1000, Total: 10_000})
		f := newFixture(t, db, o)
		job := f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "y"}}`, "Prefer: wait=20").job(t)
		kept := place.settled(t, 1)
		gone := strings.Replace(job.ID, job.ID[4:8], "0000", 1)
		place.plant(t, gone+"/file_x", 2*time.Hour)
		place.plant(t, job.ID+"/file_x", 0)
		other := place.open(t, files.Limits{File: 1000, Total: 10_000})
		newFixture(t, db, options{queue: func(c *queue.Config) { c.Files = other }})
		jobstest.Until(t, "sweep", func() bool { return len(place.stored(t)) == 1 })
		if found := place.stored(t); found[0] != kept[0] {
			t.Errorf("%q is left, want %q", found, kept)
		}
		if _, err := place.openAs(t, "another", files.Limits{}); err == nil || !strings.Contains(err.Error(), "another server") {
			t.Errorf("another server's files: %v", err)
		}
	})
}
