package jobstest

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"coatcheck/jobs/files"
)

// An S3 is an S3-compatible store in this process, with the bucket "files".
type S3 struct {
	// Config is how to use it.
	Config  files.S3Config
	backend *s3mem.Backend
	fails   atomic.Pointer[S3Fault]
	age     atomic.Int64
	core    *minio.Core
}

// S3Secret is the secret access key of an [S3].
const S3Secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYTESTSECRET" //nolint:gosec // of tests

// An S3Fault is what a store does with a request instead of serving it; false for serving it.
type S3Fault func(w http.ResponseWriter, r *http.Request) bool

// NewS3 starts a store.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	s := &S3{}
	s.backend = s3mem.New(s3mem.WithTimeSource(s3Clock{s}))
	if err := s.backend.CreateBucket("files"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(s.backend, gofakes3.WithTimeSource(s3Clock{s}), gofakes3.WithTimeSkewLimit(0)).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := s.fails.Load(); fault != nil && *fault != nil && (*fault)(w, r) {
			return
		}
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+s.Config.AccessKey+"/") {
			S3Error(http.StatusForbidden, "InvalidAccessKeyId")(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.Config = files.S3Config{
		Endpoint: server.URL, Bucket: "files", Prefix: "coatcheck/", Region: "us-east-1",
		AccessKey: "AKIATEST", SecretKey: S3Secret, Timeout: 5 * time.Second,
	}
	var err error
	s.core, err = minio.NewCore(strings.TrimPrefix(server.URL, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.Config.AccessKey, S3Secret, ""), Region: s.Config.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Fail sets what the store does instead of serving requests; nil for nothing.
func (s *S3) Fail(fault S3Fault) { s.fails.Store(&fault) }

// S3Error returns a fault that responds with an error.
func S3Error(status int, code string) S3Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>no</Message></Error>")
		return true
	}
}

// S3Hangs is a fault that responds when the client has given up.
func S3Hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // the server notices that the client is gone
	<-r.Context().Done()
	return true
}

// Keys returns the keys of all objects below the prefix, without it.
func (s *S3) Keys(t testing.TB) (keys []string) {
	t.Helper()
	prefix := &gofakes3.Prefix{HasPrefix: true, Prefix: s.Config.Prefix}
	list, err := s.backend.ListBucket("files", prefix, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range list.Contents {
		keys = append(keys, strings.TrimPrefix(object.Key, s.Config.Prefix))
	}
	return keys
}

// Put writes an object that is as old as it says.
func (s *S3) Put(t testing.TB, key, content string, age time.Duration) {
	t.Helper()
	defer s.Age(age)()
	_, err := s.backend.PutObject(
		"files", s.Config.Prefix+key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil)
	if err != nil {
		t.Fatal(err)
	}
}

// Age lets what is written look older, until the returned function is called.
func (s *S3) Age(by time.Duration) (restore func()) {
	before := s.age.Swap(int64(by))
	return func() { s.age.Store(before) }
}

// An s3Clock is the clock of a store.
type s3Clock struct{ store *S3 }

// Now implements [gofakes3.TimeSource].
func (c s3Clock) Now() time.Time {
	return time.Now().Add(-time.Duration(c.store.age.Load())).UTC()
}

// Since implements [gofakes3.TimeSource].
func (c s3Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Unfinished returns how many uploads have begun and are neither complete nor aborted.
func (s *S3) Unfinished(t testing.TB) int {
	t.Helper()
	result, err := s.core.ListMultipartUploads(t.Context(), "files", s.Config.Prefix, "", "", "", 1000)
	if response, ok := errors.AsType[minio.ErrorResponse](err); ok && response.Code == "NoSuchUpload" {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(result.Uploads)
}
