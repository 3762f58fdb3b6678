package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"coatcheck/jobs/store"
)

// Files that an older release left open to others are tightened at the start.
func TestOpenSQLiteRestrictsFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{store.DatabaseFile, "lock", store.SecretFile}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, name := range append(names, store.DatabaseFile+"-wal", store.DatabaseFile+"-shm") {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
