//go:build unix

package command

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Working directories of dead processes are removed; those in use, links and young ones that are not
// locked yet stay.
func TestRemoveOrphans(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	used, err := newWorkDir()
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newWorkDir()
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(dead.path, "readonly")
	if err := os.MkdirAll(filepath.Join(inner, "x"), 0o500); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close()
	target := t.TempDir()
	link := filepath.Join(os.TempDir(), workPrefix+"link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	young, old := filepath.Join(os.TempDir(), newPrefix+"1"), filepath.Join(os.TempDir(), newPrefix+"2")
	past := time.Now().Add(-2 * newGrace)
	for _, path := range []string{young, old} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	RemoveOrphans()
	for path, want := range map[string]bool{used.path: true, dead.path: false, link: true, target: true, young: true, old: false} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it to stay: %v", path, err, want)
		}
	}
	used.remove()
	if _, err := os.Lstat(used.path); !os.IsNotExist(err) {
		t.Errorf("after its use: %v", err)
	}
}
