package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrUnavailable means that the database is unreachable or refuses writes.
var ErrUnavailable = errors.New("the database is away")

// The problems that [Problem] returns.
const (
	unreachable        = "the database can't be reached: start it, or look at the network and database_url"
	full               = "the database's disk is full: make room"
	ReadOnly           = "the database is read-only: end that, or connect to its primary (target_session_attrs=read-write)"
	tooManyConnections = "the database has no connection left: raise max_connections, or run fewer processes"
	Slow               = "the database does not answer in time: look at its load, its locks and the network"
	loginRefused       = "the database refuses the login: look at the user, the password and the name of the database in database_url, and at the database's own log"
	Unknown            = "the database does not work: the log of this server has its error"
	ioError            = "the database's files can't be read or written: look at the disk and the permissions"
)

// Problem returns what is wrong with the database, with advice for operators; "" if the error has
// another cause.
func Problem(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		what := postgresProblem(e.Code)
		if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting && what == "" {
			return unreachable
		}
		return what
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL:
			return full
		case sqlite3.SQLITE_READONLY:
			return ReadOnly
		case sqlite3.SQLITE_BUSY:
			return Slow
		case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CORRUPT,
			sqlite3.SQLITE_NOTADB:
			return ioError
		}
		return ""
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return full
	case errors.Is(err, context.DeadlineExceeded):
		return Slow
	case errors.Is(err, ErrUnavailable), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), pgconn.SafeToRetry(err):
		return unreachable
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return unreachable
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return unreachable
	}
	return ""
}

// postgresProblem returns the problem that a PostgreSQL error code indicates, or "".
func postgresProblem(code string) string {
	switch {
	case code == "53100": // disk_full
		return full
	case code == "25006": // read_only_sql_transaction
		return ReadOnly
	case code == "53300", code == "53200": // too_many_connections, out_of_memory
		return tooManyConnections
	case code == "57014", code == "55P03", code == "40P01", code == "40001", code == "25P03": // canceled, locked, frozen
		return Slow
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"): // connection, shutdown, starting up
		return unreachable
	case strings.HasPrefix(code, "28"), code == "3D000": // login, no such database
		return loginRefused
	case strings.HasPrefix(code, "58"): // system error
		return ioError
	}
	return ""
}
