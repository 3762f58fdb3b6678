package store

import (
	"context"
	"time"
)

// CallTimeout limits how long a caller waits for the database.
const CallTimeout = 5 * time.Second

// This file contains the SQL that differs between PostgreSQL and SQLite.

// ForUpdate returns the clause that locks the rows of a SELECT. SQLite needs none: a write
// transaction locks the whole database.
func (d *DB) ForUpdate() string {
	if d.postgres {
		return " FOR UPDATE"
	}
	return ""
}

// SkipLocked returns the clause that locks the rows of a SELECT and skips those that another
// transaction has locked.
func (d *DB) SkipLocked() string {
	if d.postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// Elements returns the FROM clause for the texts in a JSON array, which is the first parameter. Its
// column is named value.
func (d *DB) Elements() string {
	if d.postgres {
		return "FROM json_array_elements_text(CAST($1 AS json))"
	}
	return "FROM json_each($1)"
}

// StatementContext returns the context for the statements of a transaction that has ctx. SQLite's
// driver starts a goroutine for each statement whose context can end. Its busy_timeout bounds how
// long a statement waits.
func (d *DB) StatementContext(ctx context.Context) context.Context {
	if d.postgres {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// Brief returns a context for reading a row, with the timeout callTimeout on PostgreSQL. On SQLite
// it cannot end: a lookup in a file is too short to be worth canceling, and the driver starts a
// goroutine for each statement whose context can end.
func (d *DB) Brief(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.postgres {
		return context.WithTimeout(ctx, CallTimeout)
	}
	return context.WithoutCancel(ctx), func() {}
}

// JustBefore returns an expression for the latest time before that in a column of River's.
func (d *DB) JustBefore(column string) string {
	if d.postgres {
		return column + " - INTERVAL '1 microsecond'"
	}
	return "strftime('%Y-%m-%d %H:%M:%f', " + column + ", '-0.001 seconds')"
}

// Now returns an expression for the time in milliseconds on the database's clock, which all
// processes share.
func (d *DB) Now() string {
	if d.postgres {
		return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
	}
	return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
}
