package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
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
	lock      *sql.DB       // keeps other processes off the SQLite file
	bell      *bell         // tells River of new jobs, on SQLite
}

// OpenPostgres connects to the database at url, over at most conns connections.
func OpenPostgres(ctx context.Context, url string, conns int) (*Database, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database_url is not a PostgreSQL URL") // the cause quotes the URL with its password
	}
	c := config.ConnConfig
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3}}).DialContext
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	setParam(c, "idle_in_transaction_session_timeout", strconv.FormatInt(frozenAfter.Milliseconds(), 10))
	keyed := c.Copy()
	for _, name := range []string{"enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"} {
		setParam(keyed, name, "off")
	}
	setParam(keyed, "plan_cache_mode", "force_generic_plan")
	// What River writes by itself is who has fetched a job and that it is over. It
	// may be lost when PostgreSQL crashes: the row of the job has the truth, and
	// River's is compared with it.
	relaxed := keyed.Copy()
	setParam(relaxed, "synchronous_commit", "off")
	open := func(c *pgx.ConnConfig, conns int) *sql.DB {
		db := stdlib.OpenDB(*c)
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		db.SetConnMaxLifetime(connLifetime)
		return db
	}
	config.MinConns, config.MaxConns = 0, 1
	listener, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("listen to PostgreSQL: %w", err)
	}
	write, transport := open(keyed, max(1, conns/2)), open(relaxed, transportConns)
	d := &Database{
		write: write, keyed: write, read: open(c, max(1, conns-conns/2)), pulse: open(c, 1), transport: transport,
		postgres: true, listener: listener, driver: riverdatabasesql.NewWithPgxListener(transport, listener),
	}
	if err := write.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to PostgreSQL: %w", err), d.Close())
	}
	return d, nil
}

const (
	// connectTimeout is how long a connection may take to be made, at most.
	connectTimeout = 3 * time.Second
	// connLifetime is the age at which connections are renewed, so that they
	// find the way to another server after a failover.
	connLifetime = 10 * time.Minute
	// frozenAfter is the silence in a transaction after which PostgreSQL ends
	// it: a process that is frozen must not keep its locks.
	frozenAfter = 5 * time.Second
	// transportConns is how many connections River has for itself.
	transportConns = 4
)

// setParam sets a parameter of the sessions of PostgreSQL, unless the URL of the
// database sets it.
//
// Connections that find rows by their keys must not plan otherwise. A plan is kept
// with its statement: made while a table is small, it would read all of it, and go
// on doing so as the table grows, until PostgreSQL analyzes the table. So the
// alternatives are ruled out. PostgreSQL gives a plan that has to use one of them a
// price for which it would compile the statement (jit), and because of such prices
// it would plan each execution anew (plan_cache_mode).
func setParam(c *pgx.ConnConfig, name, value string) {
	if _, set := c.RuntimeParams[name]; !set {
		c.RuntimeParams[name] = value
	}
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
