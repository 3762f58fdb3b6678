package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
)

// Backup copies the data directory from to the directory to, which must be empty. It copies a
// consistent snapshot of the SQLite database, which may be in use, and the secret file if there is
// one. The copy is on disk when Backup returns.
func Backup(ctx context.Context, from, to string) error {
	if err := hasDatabase(from); err != nil {
		return err
	}
	db, err := openSQLite(ctx, filepath.Join(from, DatabaseFile), url.Values{"_pragma": {"busy_timeout(5000)"}}, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	file := filepath.Join(to, DatabaseFile)
	if err := makePrivate(file); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, file); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	if err := syncFile(file, os.O_RDWR); err != nil { // VACUUM INTO does not sync
		return fmt.Errorf("copy the database: %w", err)
	}
	if err := copySecret(from, to); err != nil {
		return fmt.Errorf("copy the secret key: %w", err)
	}
	return SyncDir(to)
}

// copySecret copies the generated secret, if there is one.
func copySecret(from, to string) error {
	secret, err := os.ReadFile(filepath.Join(from, SecretFile)) //nolint:gosec // the operator chooses the path
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := checkSecret(filepath.Join(from, SecretFile), secret); err != nil {
		return err
	}
	file := filepath.Join(to, SecretFile)
	if err := makePrivate(file); err != nil {
		return err
	}
	if err := os.WriteFile(file, secret, 0o600); err != nil { //nolint:gosec // the operator chooses the path
		return err
	}
	return syncFile(file, os.O_RDWR)
}

// SyncDir returns when the directory's entries are on disk. On Windows, which has no call for this,
// it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if err := syncFile(dir, os.O_RDONLY); err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	return nil
}

func syncFile(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0) //nolint:gosec // the operator chooses the path
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
