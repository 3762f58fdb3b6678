package files_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"coatcheck/jobs/files"
	"coatcheck/jobs/keys"
)

func open(t testing.TB, path string, limits files.Limits) *files.Dir {
	t.Helper()
	d, err := files.Open(path, "test", limits)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newJob(t testing.TB) string {
	t.Helper()
	id, err := keys.NewID("job_")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Whatever a service calls its file, the name is one that a header and a file system can have.
func FuzzName(f *testing.F) {
	for _, s := range []string{"a.txt", "../../etc/passwd", `C:\\x\\y.png`, "", ".", "..", "/", "a\r\nb", "\xff", strings.Repeat("ä", 500) + ".mp4"} {
		f.Add(s)
	}
	d, job := open(f, f.TempDir(), files.Limits{File: 10, Total: 1 << 40}), newJob(f)
	f.Fuzz(func(t *testing.T, name string) {
		file, err := d.Save(t.Context(), job, name, "", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		got := file.Name
		if got == "" || got == "." || got == ".." || len(got) > 255 || !utf8.ValidString(got) ||
			strings.ContainsAny(got, `/\`) || strings.ContainsFunc(got, unicode.IsControl) || file.ContentType == "" {
			t.Errorf("%q is stored as %+v", name, file)
		}
		if err := d.Delete(t.Context(), job, file.ID); err != nil {
			t.Error(err)
		}
	})
}

// A file that could not be written leaves nothing, counts nothing, and its error has no paths.
func TestFailedSave(t *testing.T) {
	path := t.TempDir()
	d, job := open(t, path, files.Limits{File: 100, Total: 100}), newJob(t)
	for range 20 { // would exceed the total if failed files counted
		_, err := d.Save(t.Context(), job, "x", "", io.MultiReader(strings.NewReader("0123456789"), iotest.ErrReader(
			&os.PathError{Op: "read", Path: path, Err: syscall.EIO})))
		if !errors.Is(err, syscall.EIO) || strings.Contains(err.Error(), path) {
			t.Fatalf("got %v", err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(path, job)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left are %v, %v", entries, err)
	}
	if _, err := d.Save(t.Context(), "../x", "x", "", strings.NewReader("x")); err == nil {
		t.Error("a path is taken for a job")
	}
}

// A copy has the complete files of the original, and stays when they are deleted.
func TestCopy(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "files"), filepath.Join(t.TempDir(), "copy")
	if err := files.Copy(t.Context(), from, to); err != nil {
		t.Errorf("without files: %v", err)
	}
	d, job := open(t, from, files.Limits{File: 100, Total: 100}), newJob(t)
	file, err := d.Save(t.Context(), job, "x", "", strings.NewReader("content"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, job, "file_y.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := files.Copy(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(to, job, file.ID))
	if err != nil || string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := os.Lstat(filepath.Join(to, job, "file_y.part")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an incomplete file is copied: %v", err)
	}
}
