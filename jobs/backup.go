package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// Backup copies the SQLite database in one directory to another, as it is at
// this moment, while others go on using it. The copy is on disk when it returns.
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
	if _, err := db.ExecContext(ctx, `VACUUM INTO $1`, file); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil { // SQLite leaves that to the caller
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}
