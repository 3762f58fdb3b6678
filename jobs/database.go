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

// A Database holds the jobs: PostgreSQL, or a SQLite file that one process
// has for itself.
type Database struct {
	write     *sql.DB // also reads rows to change them
	keyed     *sql.DB // reads rows by their keys
	read      *sql.DB // reads whatever else
	pulse     *sql.DB // heartbeats, so that they never wait for the rest
	transport *sql.DB // what River writes by itself, on PostgreSQL
	postgres  bool
	driver    riverdriver.Driver[*sql.Tx]
	listener  *pgxpool.Pool // River's notifications, on PostgreSQL
	renewal   *renewal      // of connections to PostgreSQL
	lock      *sql.DB       // keeps other processes off the SQLite file
	bell      *bell         // tells River of new jobs, on SQLite
}

// DatabaseFile and [SecretFile] are what is in a data directory.
const DatabaseFile = "coatcheck.db"

// lockFile is the one that keeps other processes off a data directory.
const lockFile = "lock"

// walLimit is the size in bytes to which SQLite truncates its write-ahead log
// after a checkpoint. The log grows larger during a long read, such as a backup.
const walLimit = 16 << 20

// readers is how many connections read a SQLite file beside the one that writes.
const readers = 4

// OpenSQLite opens coatcheck.db in dir, which it makes when it is missing. It
// fails when another process has it open.
func OpenSQLite(ctx context.Context, dir string) (*Database, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := makePrivate(filepath.Join(dir, lockFile)); err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	lock, err := lockDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(makePrivate(filepath.Join(dir, DatabaseFile)), tightenDir(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the database: %w", err), lock.Close())
	}
	d := &Database{lock: lock}
	if err := d.openSQLite(ctx, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// JoinSQLite opens the coatcheck.db in dir that another process may have open,
// for what is short and harms no queue.
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
	// A 202 means that the job is on disk, hence FULL. An immediate
	// transaction waits for the lock where a deferred one would fail.
	path := filepath.Join(dir, DatabaseFile)
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", fmt.Sprintf("journal_size_limit(%d)", walLimit)}
	if d.write, err = openSQLite(ctx, path, url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}, 1); err != nil {
		return err
	}
	if d.read, err = openSQLite(ctx, path, url.Values{"_pragma": {"query_only(1)", "busy_timeout(5000)"}}, readers); err != nil {
		return err
	}
	d.pulse, d.keyed = d.write, d.read
	d.bell = newBell()
	d.driver = newBellDriver(d.write, d.bell)
	return nil
}

// lockDir takes the directory for this process. The lock is a transaction on
// a database of its own, because that works on every system and ends with the
// process, however it ends.
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

// SQL returns the connections that write, for migrations.
func (d *Database) SQL() *sql.DB { return d.write }

// Postgres reports whether the database is PostgreSQL, which many processes
// can share.
func (d *Database) Postgres() bool { return d.postgres }

// ring notifies River of a new job in a queue. PostgreSQL notifies it by itself.
func (d *Database) ring(queue string) {
	if d.bell != nil {
		d.bell.ring(queue)
	}
}

// Close closes the database.
func (d *Database) Close() error {
	if d.postgres {
		d.listener.Close()
		return errors.Join(d.pulse.Close(), d.transport.Close(), d.read.Close(), d.write.Close())
	}
	var errs []error
	for _, db := range []*sql.DB{d.read, d.write, d.lock} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
