package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
)

// A storeKind is a kind of store for files.
type storeKind string

const (
	inDir storeKind = "dir"
	inS3  storeKind = "s3"
)

// eachStore runs a test with each kind of store for files.
func eachStore(t *testing.T, test func(*testing.T, storeKind)) {
	t.Helper()
	for _, kind := range []storeKind{inDir, inS3} {
		t.Run(string(kind), func(t *testing.T) { test(t, kind) })
	}
}

// A place is a directory or a bucket with the files of a server.
type place struct {
	dir string
	s3  *jobstest.S3
}

// withFiles returns options for an API whose services return files, and the place of these.
func withFiles(t *testing.T, kind storeKind, limits files.Limits) (options, *place) {
	t.Helper()
	p := &place{dir: filepath.Join(t.TempDir(), "files")}
	if kind == inS3 {
		p = &place{s3: jobstest.NewS3(t)}
	}
	store := p.open(t, limits)
	return options{
		services: addRender, queue: func(c *queue.Config) { c.Files = store }, api: func(c *api.Config) { c.Files = store },
	}, p
}

// open opens the place as another process of the server does.
func (p *place) open(t *testing.T, limits files.Limits) files.Store {
	t.Helper()
	store, err := p.openAs(t, "test", limits)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (p *place) openAs(t *testing.T, owner string, limits files.Limits) (files.Store, error) {
	t.Helper()
	if p.s3 != nil {
		return files.OpenS3(t.Context(), p.s3.Config, owner, limits)
	}
	return files.Open(p.dir, owner, limits)
}

// stored returns the files, as JOB/FILE.
func (p *place) stored(t *testing.T) (found []string) {
	t.Helper()
	if p.s3 != nil {
		for _, key := range p.s3.Keys(t) {
			if strings.HasPrefix(key, "job_") {
				found = append(found, key)
			}
		}
		return found
	}
	paths, err := filepath.Glob(filepath.Join(p.dir, "job_*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		found = append(found, filepath.Join(filepath.Base(filepath.Dir(path)), filepath.Base(path)))
	}
	return found
}

// settled returns the files once there are as many as wanted, or after a while. Those that a run has left
// are deleted just after its job has ended.
func (p *place) settled(t *testing.T, want int) (found []string) {
	t.Helper()
	for range 100 {
		if found = p.stored(t); len(found) == want {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return found
}

// plant writes a file behind the server's back.
func (p *place) plant(t *testing.T, name string, age time.Duration) {
	t.Helper()
	if p.s3 != nil {
		p.s3.Put(t, name, "lost", age)
		return
	}
	path, at := filepath.Join(p.dir, name), time.Now().Add(-age)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Dir(path)} {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}
