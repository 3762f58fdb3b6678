package files_test

import (
	"sync"
	"testing"

	"coatcheck/jobs/files"
)

// Processes in containers may share a directory and a process id, and their checks do not disturb
// each other.
func TestCheckAtOnce(t *testing.T) {
	store, err := files.Open(t.TempDir(), "test", files.Limits{File: 1000, Total: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var checks sync.WaitGroup
	for range 8 {
		checks.Go(func() {
			for range 200 {
				if err := store.Check(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	checks.Wait()
}
