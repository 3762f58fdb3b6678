package queue_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
)

// The health check of files sees a directory that can't be written, and one that is almost full.
func TestFilesCheck(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "files")
	open := func() files.Store {
		store, err := files.Open(dir, "test", files.Limits{File: 1000, Total: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	stored := open()
	q, _ := newQueue(t, jobstest.SQLite(t), newServices(), func(c *queue.Config) { c.Files, c.Workers = stored, 0 })
	check := func(status, detail string) {
		t.Helper()
		if err := q.CheckFiles(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, c := range q.Health() {
			if c.Name == "files" {
				if c.Status != status || !strings.Contains(c.Detail, detail) || strings.Contains(c.Detail, dir) {
					t.Errorf("%s %q, want %s %q", c.Status, c.Detail, status, detail)
				}
				return
			}
		}
		t.Error("no check of files")
	}
	check(queue.OK, "")
	if left, err := filepath.Glob(filepath.Join(dir, ".check*")); err != nil || len(left) > 0 {
		t.Errorf("left are %q, %v", left, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	check(queue.Warning, "files can't be stored or read")
	open()
	check(queue.OK, "")
	if _, err := stored.Save(t.Context(), "job_01jdc4w0z7q9aaaaaaaaaaaaaa", "x", "", strings.NewReader(strings.Repeat("x", 960))); err != nil {
		t.Fatal(err)
	}
	check(queue.Warning, "take 96% of their maximum size: raise files.max_total")
}

// The health check of files sees an S3 store that does not respond as it should.
func TestFilesCheckS3(t *testing.T) {
	t.Parallel()
	s3 := jobstest.NewS3(t)
	stored, err := files.OpenS3(t.Context(), s3.Config, "test", files.Limits{File: 1000, Total: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if err := stored.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s3.Fail(jobstest.S3Error(http.StatusForbidden, "AccessDenied"))
	if err := stored.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "refuses the credentials") {
		t.Errorf("got %v", err)
	}
	s3.Fail(nil)
	if err := stored.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
