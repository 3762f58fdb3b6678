package store

import (
	"os"
	"path/filepath"
	"testing"
)

// The write-ahead log that grew while somebody read for long is cut when they
// have finished.
func TestWALIsTruncatedAfterLongRead(t *testing.T) {
	dir := t.TempDir()
	db, err := OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func(stmt string) {
		t.Helper()
		if _, err := db.Write.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, DatabaseFile+"-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	write(`CREATE TABLE t (b BLOB)`)
	reader, err := db.Read.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	var n int
	if err := reader.QueryRowContext(t.Context(), `SELECT count(*) FROM t`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	for size() < 2*walLimit {
		write(`INSERT INTO t VALUES (randomblob(4 * 1024 * 1024))`)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // one that moves all to the database, and one that begins anew
		write(`INSERT INTO t VALUES (randomblob(16))`)
	}
	if got := size(); got > walLimit {
		t.Errorf("the log has %d bytes, want %d at most", got, walLimit)
	}
}
