package files_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
)

func openS3(t testing.TB, c files.S3Config, limits files.Limits) *files.S3 {
	t.Helper()
	s, err := files.OpenS3(t.Context(), c, "test", limits)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var roomy = files.Limits{File: 100 << 20, Total: 1 << 30}

// A large file goes to the store in parts, and is read from anywhere, also after a copy.
func TestS3Parts(t *testing.T) {
	t.Parallel()
	s, job := openS3(t, jobstest.NewS3(t).Config, roomy), newJob(t)
	content := make([]byte, 12<<20)
	rand.Read(content)
	sum := sha256.Sum256(content)
	file, err := s.Save(t.Context(), job, "x", "", iotest.HalfReader(bytes.NewReader(content)))
	if err != nil || file.Bytes != 12<<20 || file.SHA256 != hex.EncodeToString(sum[:]) {
		t.Fatalf("%+v, %v", file, err)
	}
	another := newJob(t)
	if err := s.Copy(t.Context(), job, another, []string{file.ID}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), job, file.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deleted file: %v", err)
	}
	if err := s.Copy(t.Context(), job, newJob(t), []string{file.ID}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy of a deleted file: %v", err)
	}
	r, err := s.Open(t.Context(), another, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, at := range []int64{0, 10 << 20, 5<<20 - 1, 12<<20 - 3, 12 << 20} {
		if n, err := r.Seek(at, io.SeekStart); n != at || err != nil {
			t.Fatal(n, err)
		}
		got, err := io.ReadAll(io.LimitReader(r, 1000))
		if want := content[at:min(int(at)+1000, len(content))]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("at %d: %d bytes that differ, %v", at, len(got), err)
		}
	}
}

// Where the store closes a connection, a reader goes on with another.
func TestS3ReadContinues(t *testing.T) {
	t.Parallel()
	store := jobstest.NewS3(t)
	s, job := openS3(t, store.Config, roomy), newJob(t)
	content := strings.Repeat("0123456789", 10_000)
	file, err := s.Save(t.Context(), job, "x", "", strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var cuts atomic.Int32
	store.Fail(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || cuts.Add(1) > 2 {
			return false
		}
		at := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)-at))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		if at > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, content[at:at+1234])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	r, err := s.Open(t.Context(), job, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != content || cuts.Load() != 3 {
		t.Errorf("%d bytes, %v, after %d requests", len(got), err, cuts.Load())
	}
}

// A file that could not be written leaves nothing and counts nothing.
func TestS3FailedSave(t *testing.T) {
	t.Parallel()
	store := jobstest.NewS3(t)
	s, job := openS3(t, store.Config, files.Limits{File: 100 << 20, Total: 20 << 20}), newJob(t)
	for range 3 { // would exceed the total if failed files counted
		_, err := s.Save(t.Context(), job, "x", "", io.MultiReader(zeros(11<<20), iotest.ErrReader(syscall.EIO)))
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v", err)
		}
	}
	_, err := s.Save(t.Context(), job, "x", "", zeros(21<<20))
	if err == nil || !strings.Contains(err.Error(), "files.max_total") {
		t.Errorf("above the total: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Save(ctx, job, "x", "", io.MultiReader(zeros(11<<20), readerFunc(func([]byte) (int, error) {
		cancel()
		return 1, nil
	})))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if keys, unfinished := store.Keys(t), store.Unfinished(t); len(keys) != 1 || unfinished != 0 {
		t.Errorf("left are %q and %d unfinished uploads", keys, unfinished)
	}
	if _, err := s.Save(t.Context(), "../x", "x", "", strings.NewReader("x")); err == nil {
		t.Error("a path is taken for a job")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Unfinished uploads of dead processes are aborted after a day. Until then their jobs keep their files.
func TestS3UnfinishedIsSwept(t *testing.T) {
	t.Parallel()
	store := jobstest.NewS3(t)
	s := openS3(t, store.Config, roomy)
	for _, age := range []time.Duration{2 * time.Hour, 25 * time.Hour} {
		job := newJob(t)
		store.Put(t, job+"/upload_first", "x", age)
		restore := store.Age(age)
		ctx, cancel := context.WithCancel(t.Context())
		_, _ = s.SaveUpload(ctx, job, "x", "", io.MultiReader(zeros(11<<20), readerFunc(func([]byte) (int, error) {
			store.Fail(jobstest.S3Error(http.StatusForbidden, "AccessDenied")) // the abort fails
			cancel()
			return 1, nil
		})))
		store.Fail(nil)
		restore()
	}
	if got := store.Unfinished(t); got != 2 {
		t.Fatalf("%d unfinished uploads, want 2", got)
	}
	none := func(context.Context, []string) (map[string]files.State, error) { return nil, nil }
	if err := s.Sweep(t.Context(), none); err != nil {
		t.Fatal(err)
	}
	if keys, unfinished := store.Keys(t), store.Unfinished(t); len(keys) != 2 || unfinished != 1 {
		t.Errorf("left are %q and %d unfinished uploads", keys, unfinished)
	}
}

// However many servers open a new prefix at the same time, it belongs to one of them, and all processes
// of that one can open it.
func TestS3Owner(t *testing.T) {
	t.Parallel()
	for range 10 {
		store := jobstest.NewS3(t)
		var all sync.WaitGroup
		all.Add(8)
		var reads atomic.Int32
		store.Fail(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "owner") || reads.Add(1) > 8 {
				return false
			}
			all.Done() // all find none
			all.Wait()
			return jobstest.S3Error(http.StatusNotFound, "NoSuchKey")(w, r)
		})
		var opened [2]atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				_, err := files.OpenS3(t.Context(), store.Config, fmt.Sprint("server", i%2), files.Limits{})
				if err == nil {
					opened[i%2].Add(1)
				} else if !strings.Contains(err.Error(), "another server") {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if a, b := opened[0].Load(), opened[1].Load(); a != 4 && b != 4 || a > 0 && b > 0 {
			t.Fatalf("%d and %d processes of two servers have the prefix, want all 4 of one", a, b)
		}
	}
}

// A store that knows no conditions has owners too. A sweep of one who has lost the prefix deletes nothing.
func TestS3OwnerWithoutConditions(t *testing.T) {
	t.Parallel()
	store := jobstest.NewS3(t)
	store.Fail(func(w http.ResponseWriter, r *http.Request) bool {
		return r.Header.Get("If-None-Match") != "" && jobstest.S3Error(http.StatusNotImplemented, "NotImplemented")(w, r)
	})
	s := openS3(t, store.Config, roomy)
	store.Put(t, newJob(t)+"/file_x", "x", 2*time.Hour)
	store.Put(t, "owner", "another", 0)
	none := func(context.Context, []string) (map[string]files.State, error) { return nil, nil }
	if err := s.Sweep(t.Context(), none); err == nil || len(store.Keys(t)) != 2 {
		t.Errorf("swept the files of another server: %v, left are %q", err, store.Keys(t))
	}
}

// A store that fails, hangs or is away is an error that says so within a few timeouts, without
// addresses and secrets. Afterwards everything works again.
func TestS3Unavailable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault   jobstest.S3Fault
		timeout time.Duration
		want    string
	}{
		"fails":   {jobstest.S3Error(500, "InternalError"), 5 * time.Second, "it responded 500 Internal Server Error"},
		"hangs":   {jobstest.S3Hangs, 200 * time.Millisecond, "it does not respond in time"},
		"refuses": {jobstest.S3Error(403, "AccessDenied"), 5 * time.Second, "it responded 403 Forbidden, AccessDenied"},
		"cuts":    {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, 5 * time.Second, "it closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := jobstest.NewS3(t)
			store.Config.Timeout = tt.timeout
			testUnavailable(t, store, tt.fault, tt.want)
		})
	}
}

func testUnavailable(t *testing.T, store *jobstest.S3, fault jobstest.S3Fault, want string) {
	s, job := openS3(t, store.Config, roomy), newJob(t)
	file, err := s.Save(t.Context(), job, "x", "", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := s.Open(t.Context(), job, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	none := func(context.Context, []string) (map[string]files.State, error) { return nil, nil }
	store.Fail(fault)
	for call, do := range map[string]func() error{
		"save":   func() error { _, err := s.Save(t.Context(), job, "x", "", strings.NewReader("x")); return err },
		"large":  func() error { _, err := s.Save(t.Context(), job, "x", "", zeros(6<<20)); return err },
		"open":   func() error { _, err := s.Open(t.Context(), job, file.ID); return err },
		"read":   func() error { _, err := opened.Read(make([]byte, 1)); return err },
		"copy":   func() error { return s.Copy(t.Context(), job, newJob(t), []string{file.ID}) },
		"delete": func() error { return s.Delete(t.Context(), job, file.ID) },
		"remove": func() error { return s.Remove(t.Context(), job) },
		"sweep":  func() error { return s.Sweep(t.Context(), none) },
	} {
		began := time.Now()
		err := do()
		if _, ok := errors.AsType[*files.UnavailableError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", call, err, want)
		}
		if text := fmt.Sprint(err); strings.Contains(text, "127.0.0.1") || strings.Contains(text, jobstest.S3Secret) {
			t.Errorf("%s: %v", call, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: after %v", call, took)
		}
	}
	_, err = files.OpenS3(t.Context(), store.Config, "test", roomy)
	if err == nil || !strings.HasPrefix(err.Error(), "files.s3: ") {
		t.Errorf("opened: %v", err)
	}
	store.Fail(nil)
	if got, err := io.ReadAll(opened); err != nil || string(got) != "x" {
		t.Errorf("afterwards %q, %v", got, err)
	}
	if _, err := s.Save(t.Context(), job, "x", "", zeros(6<<20)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// zeros returns a reader of n bytes.
func zeros(n int64) io.Reader {
	return io.LimitReader(readerFunc(func(p []byte) (int, error) {
		clear(p)
		return len(p), nil
	}), n)
}

// Another process uses the store with what Share says, within the limits that are left.
func TestS3Share(t *testing.T) {
	t.Parallel()
	s, job := openS3(t, jobstest.NewS3(t).Config, files.Limits{File: 100, Total: 120}), newJob(t)
	file, err := s.Save(t.Context(), job, "x", "", strings.NewReader(strings.Repeat("x", 60)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s.Share())
	if err != nil {
		t.Fatal(err)
	}
	var share *files.Share
	if err := json.Unmarshal(text, &share); err != nil {
		t.Fatal(err)
	}
	other, err := share.Open()
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Save(t.Context(), job, "x", "", zeros(61))
	if err == nil || !strings.Contains(err.Error(), "files.max_total") {
		t.Errorf("above the total: %v", err)
	}
	r, err := other.Open(t.Context(), job, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || len(got) != 60 {
		t.Errorf("%q, %v", got, err)
	}
}
