package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"coatcheck/jobs/store"
)

// The secret is created once, readable by its owner only.
func TestSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := store.OpenSecret(dir)
	if err != nil || len(first) < store.MinSecret {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	if info, err := os.Stat(filepath.Join(dir, "secret.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if again, err := store.OpenSecret(dir); err != nil || string(again) != string(first) {
		t.Errorf("another one at the next start, %v", err)
	}
}
