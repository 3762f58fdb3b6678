package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"modernc.org/sqlite" // the SQLite driver
	sqlite3 "modernc.org/sqlite/lib"
)

// A Database stores the jobs. It is PostgreSQL, or a SQLite file that one process uses exclusively.
type Database struct {
	write      *sql.DB // also reads rows in order to change them
	keyed      *sql.DB // reads rows by key
	read       *sql.DB // all other reads
	heartbeats *sql.DB // separate, so that heartbeats never wait for other statements
	transport  *sql.DB // River's own writes, on PostgreSQL
	postgres   bool
	driver     riverdriver.Driver[*sql.Tx]
	listener   *pgxpool.Pool  // River's LISTEN connections, on PostgreSQL
	renewal    *renewal       // replaces connections to PostgreSQL
	lock       *sql.DB        // locks the data directory, on SQLite
	notifier   *riverNotifier // notifies River of new jobs, on SQLite
}

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
func OpenSQLite(ctx context.Context, dir string) (*Database, error) {
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
	d := &Database{lock: lock}
	if err := d.openSQLite(ctx, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// JoinSQLite opens coatcheck.db in dir without locking the directory, which another process may
// have open. Use it only for short operations that do not interfere with a queue.
func JoinSQLite(ctx context.Context, dir string) (*Database, error) {
	if err := hasDatabase(dir); err != nil {
		return nil, err
	}
	d := new(Database)
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

func (d *Database) openSQLite(ctx context.Context, dir string) (err error) {
	// synchronous=FULL because a 202 means that the job is on disk. An immediate transaction waits
	// for the lock where a deferred one would fail.
	path := filepath.Join(dir, DatabaseFile)
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", fmt.Sprintf("journal_size_limit(%d)", walLimit),
	}
	if d.write, err = openSQLite(ctx, path, url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}, 1); err != nil {
		return err
	}
	if d.read, err = openSQLite(ctx, path, url.Values{"_pragma": {"query_only(1)", "busy_timeout(5000)"}},
		readers); err != nil {
		return err
	}
	d.heartbeats, d.keyed = d.write, d.read
	d.notifier = newRiverNotifier()
	d.driver = newNotifierDriver(d.write, d.notifier)
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

// A Tx is a transaction of a [Database].
type Tx struct {
	*sql.Tx
	postgres bool
}

// Begin starts a transaction on the write connections.
func (d *Database) Begin(ctx context.Context) (Tx, error) {
	tx, err := d.write.BeginTx(ctx, nil)
	return Tx{tx, d.postgres}, err
}

// SQL returns the write connections, for migrations.
func (d *Database) SQL() *sql.DB { return d.write }

// Postgres reports whether the database is PostgreSQL, which many processes can share.
func (d *Database) Postgres() bool { return d.postgres }

// notifyRiver notifies River of a new job in a queue of a SQLite database. PostgreSQL does so
// itself.
func (d *Database) notifyRiver(queue string) {
	if d.notifier != nil {
		d.notifier.notify(queue)
	}
}

// Close closes the database.
func (d *Database) Close() error {
	if d.postgres {
		d.listener.Close()
		return errors.Join(d.heartbeats.Close(), d.transport.Close(), d.read.Close(), d.write.Close())
	}
	var errs []error
	for _, db := range []*sql.DB{d.read, d.write, d.lock} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
