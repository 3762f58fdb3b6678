package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// While the store of files is away, uploads and downloads get 503 with Retry-After, and an attempt fails
// and is retried. Nothing is lost, and no response has the addresses of the store.
func TestFileStoreAway(t *testing.T) {
	o, place := withUploads(t, inS3, files.Limits{File: 1000, Total: 10_000})
	services := o.services
	var attempts atomic.Int32
	o.services = func(r *jobs.Registry) {
		services(r)
		jobs.Add(r, jobs.Service{Name: "persist", MaxAttempts: 2}, func(ctx context.Context, _ struct{}) (jobs.File, error) {
			if attempts.Add(1) == 2 {
				place.s3.Fail(nil)
			}
			return jobs.SaveFile(ctx, "x", "", strings.NewReader("saved"))
		})
	}
	f := newFixture(t, jobstest.SQLite(t), o)
	job := f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "y"}}`, "Prefer: wait=20").job(t)
	place.s3.Fail(jobstest.S3Error(http.StatusServiceUnavailable, "SlowDown"))
	resp, body := request(t, "GET", job.ResultURL)
	uploaded := f.upload(t, nil, "file@a=1")
	for call, got := range map[string]answer{"download": {resp, body}, "upload": uploaded} {
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"unavailable"`) ||
			!strings.Contains(got.body, "the file store is unavailable: it responded 503") ||
			strings.Contains(got.body, place.s3.Config.Endpoint) {
			t.Errorf("%s: %s %s", call, got.Status, got.body)
		}
	}
	a := f.do(t, "POST", "/v1/services/persist/jobs", `{"input": {}}`, "Prefer: wait=20")
	if got := a.job(t); got.Status != jobs.Succeeded || got.Attempt != 2 {
		t.Errorf("an attempt without the store: %s", a.body)
	}
	if _, body := request(t, "GET", job.ResultURL); body != "y" {
		t.Errorf("afterwards: %s", body)
	}
	for _, want := range []string{"file of a job can't be read", "uploaded file not stored"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("not logged: %s", want)
		}
	}
}

// The files of jobs whose records have expired are deleted with these.
func TestFilesExpire(t *testing.T) { eachStore(t, testFilesExpire) }

func testFilesExpire(t *testing.T, kind storeKind) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
		withStore := o.queue
		o.queue = func(c *queue.Config) {
			withStore(c)
			c.Retain = 3 * time.Second
		}
		f := newFixture(t, db, o)
		f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "y"}}`, "Prefer: wait=20")
		f.upload(t, wait, "file@a=1")
		f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "x", "content": "y", "fail": true}}`, "Prefer: wait=20")
		if found := place.settled(t, 2); len(found) != 2 {
			t.Errorf("stored are %q, want the output and the upload", found)
		}
		jobstest.Until(t, "end of the files", func() bool { return len(place.stored(t)) == 0 })
	})
}
