package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // the SQLite driver
	sqlite3 "modernc.org/sqlite/lib"
)

// DatabaseFile is the name of the SQLite database in a data directory.
const DatabaseFile = "coatcheck.db"

// lockFile is the name of the file that locks a data directory.
const lockFile = "lock"

// walLimit is the size in bytes to which SQLite truncates its write-ahead log after a checkpoint.
// The log grows larger during a long read, such as a backup.
const walLimit = 16 << 20

// readers is the number of read connections to a SQLite file.
const readers = 4

// OpenSQLite opens coatcheck.db in dir, which it creates if it is missing. It fails if another
// process has the directory open.
func OpenSQLite(ctx context.Context, dir string) (*DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	if err := makePrivate(filepath.Join(dir, lockFile)); err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(makePrivate(filepath.Join(dir, DatabaseFile)), restrictDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("create the database: %w", err), lock.Close())
	}
	d := &DB{lock: lock}
	if err := d.openSQLite(ctx, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// JoinSQLite opens coatcheck.db in dir without locking the directory, which another process may
// have open. Use it only for short operations that do not interfere with a queue.
func JoinSQLite(ctx context.Context, dir string) (*DB, error) {
	if err := hasDatabase(dir); err != nil {
		return nil, err
	}
	d := new(DB)
	if err := d.openSQLite(ctx, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func hasDatabase(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, DatabaseFile)); err != nil {
		return fmt.Errorf("no database in %s yet: run coatcheck once, or name its directory with --data: %w", dir, err)
	}
	return nil
}

func (d *DB) openSQLite(ctx context.Context, dir string) (err error) {
	// synchronous=FULL because a 202 means that the job is on disk. An immediate transaction waits
	// for the lock where a deferred one would fail.
	path := filepath.Join(dir, DatabaseFile)
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", fmt.Sprintf("journal_size_limit(%d)", walLimit),
	}
	if d.Write, err = openSQLite(ctx, path, url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}, 1); err != nil {
		return err
	}
	if d.Read, err = openSQLite(ctx, path, url.Values{"_pragma": {"query_only(1)", "busy_timeout(5000)"}},
		readers); err != nil {
		return err
	}
	d.Heartbeats, d.Keyed = d.Write, d.Read
	d.notifier = newRiverNotifier()
	d.Driver = newNotifierDriver(d.Write, d.notifier)
	return nil
}

// lockDir locks the directory for this process. The lock is an open transaction on a separate
// database: this works on every system, and the lock ends with the process even after a crash.
func lockDir(ctx context.Context, dir string) (*sql.DB, error) {
	lock, err := openSQLite(ctx, filepath.Join(dir, lockFile), url.Values{"_pragma": {"busy_timeout(1000)"}}, 1)
	if err == nil {
		if _, err = lock.ExecContext(ctx, "BEGIN EXCLUSIVE"); err == nil {
			return lock, nil
		}
		lock.Close()
	}
	if serr, ok := errors.AsType[*sqlite.Error](err); ok && serr.Code()&0xff == sqlite3.SQLITE_BUSY {
		return nil, fmt.Errorf("another coatcheck uses the data directory %s: stop it, choose another with --data, or set DATABASE_URL to a PostgreSQL database, which many processes can share", dir)
	}
	return nil, fmt.Errorf("lock the data directory: %w", err)
}

func openSQLite(ctx context.Context, path string, query url.Values, conns int) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	connector, err := newCachingConnector(u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}
