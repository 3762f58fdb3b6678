package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
)

// A DB is the database of a server: PostgreSQL, or a SQLite file that one process uses exclusively.
// It has connections for different kinds of statements.
type DB struct {
	Write      *sql.DB                     // writes, and reads rows in order to change them
	Keyed      *sql.DB                     // reads rows by key
	Read       *sql.DB                     // all other reads
	Heartbeats *sql.DB                     // heartbeats, which must not wait for other statements
	Transport  *sql.DB                     // River's own writes, on PostgreSQL
	Driver     riverdriver.Driver[*sql.Tx] // for River's client

	postgres bool
	listener *pgxpool.Pool  // River's LISTEN connections, on PostgreSQL
	renewal  *renewal       // replaces connections to PostgreSQL
	lock     *sql.DB        // locks the data directory, on SQLite
	notifier *riverNotifier // notifies River of new jobs, on SQLite
}

// A Tx is a transaction of a [DB].
type Tx struct {
	*sql.Tx
	postgres bool
}

// An Execer is a database or a transaction.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Begin starts a transaction on the write connections.
func (d *DB) Begin(ctx context.Context) (Tx, error) {
	tx, err := d.Write.BeginTx(ctx, nil)
	return Tx{tx, d.postgres}, err
}

// Postgres reports whether the database is PostgreSQL, which many processes can share.
func (d *DB) Postgres() bool { return d.postgres }

// NotifyRiver notifies River of a new job in a queue of a SQLite database. PostgreSQL does so
// itself.
func (d *DB) NotifyRiver(queue string) {
	if d.notifier != nil {
		d.notifier.notify(queue)
	}
}

// Close closes the database.
func (d *DB) Close() error {
	if d.postgres {
		d.listener.Close()
		return errors.Join(d.Heartbeats.Close(), d.Transport.Close(), d.Read.Close(), d.Write.Close())
	}
	var errs []error
	for _, db := range []*sql.DB{d.Read, d.Write, d.lock} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
