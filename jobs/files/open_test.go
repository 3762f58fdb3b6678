package files_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coatcheck/jobs/files"
)

// However many servers open a new directory at the same time, it belongs to one of them, and all
// processes of that one can open it.
func TestOwner(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "files")
		var opened [2]atomic.Int32
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				_, err := files.Open(path, fmt.Sprint("server", i%2), files.Limits{})
				if err == nil {
					opened[i%2].Add(1)
				} else if !strings.Contains(err.Error(), "another server") {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if a, b := opened[0].Load(), opened[1].Load(); a != 4 && b != 4 || a > 0 && b > 0 {
			t.Fatalf("%d and %d processes of two servers have the directory, want all 4 of one", a, b)
		}
		if left, err := filepath.Glob(filepath.Join(path, "*")); err != nil || len(left) != 1 {
			t.Errorf("left are %v, %v", left, err)
		}
	}
}

// A directory whose owner was not written before a crash has none.
func TestOwnerMissing(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "owner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, files.Limits{})
	open(t, path, files.Limits{})
	if _, err := files.Open(path, "another", files.Limits{}); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("another server's directory: %v", err)
	}
}

// Another process stores files within the limits that are left.
func TestShare(t *testing.T) {
	d, job := open(t, t.TempDir(), files.Limits{File: 100, Total: 110}), newJob(t)
	if _, err := d.Save(t.Context(), job, "x", "", strings.NewReader(strings.Repeat("x", 60))); err != nil {
		t.Fatal(err)
	}
	other, err := d.Share().Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Save(t.Context(), job, "x", "", strings.NewReader(strings.Repeat("x", 51))); err == nil || !strings.Contains(err.Error(), "files.max_total") {
		t.Errorf("above the total: %v", err)
	}
	if _, err := other.Save(t.Context(), job, "x", "", strings.NewReader(strings.Repeat("x", 40))); err != nil {
		t.Error(err)
	}
	if none, err := (*files.Share)(nil).Open(); none != nil || err != nil {
		t.Errorf("no store became %v, %v", none, err)
	}
}
