package jobs

import (
	"context"
	"time"
)

// callTimeout limits how long a caller waits for the database.
const callTimeout = 5 * time.Second

// This file contains the SQL that differs between PostgreSQL and SQLite.

// forUpdate returns the clause that locks the rows of a SELECT. SQLite needs none: a write
// transaction locks the whole database.
func (d *Database) forUpdate() string {
	if d.postgres {
		return " FOR UPDATE"
	}
	return ""
}

// skipLocked returns the clause that locks the rows of a SELECT and skips those that another
// transaction has locked.
func (d *Database) skipLocked() string {
	if d.postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// elements returns the FROM clause for the texts in a JSON array, which is the first parameter. Its
// column is named value.
func (d *Database) elements() string {
	if d.postgres {
		return "FROM json_array_elements_text(CAST($1 AS json))"
	}
	return "FROM json_each($1)"
}

// statementContext returns the context for the statements of a transaction that has ctx. SQLite's
// driver starts a goroutine for each statement whose context can end. Its busy_timeout bounds how
// long a statement waits.
func (d *Database) statementContext(ctx context.Context) context.Context {
	if d.postgres {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// brief returns a context for reading a row, with the timeout callTimeout on PostgreSQL. On SQLite
// it cannot end: a lookup in a file is too short to be worth canceling, and the driver starts a
// goroutine for each statement whose context can end.
func (d *Database) brief(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.postgres {
		return context.WithTimeout(ctx, callTimeout)
	}
	return context.WithoutCancel(ctx), func() {}
}

// justBefore returns an expression for the latest time before that in a column of River's.
func (d *Database) justBefore(column string) string {
	if d.postgres {
		return column + " - INTERVAL '1 microsecond'"
	}
	return "strftime('%Y-%m-%d %H:%M:%f', " + column + ", '-0.001 seconds')"
}

// now returns an expression for the time in milliseconds on the database's clock, which all
// processes share.
func (d *Database) now() string {
	if d.postgres {
		return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
	}
	return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
}
