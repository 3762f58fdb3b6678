package jobs

// This file has the SQL that differs between PostgreSQL and SQLite.

// forUpdate returns the clause that locks the rows of a SELECT. SQLite needs none:
// a transaction that writes has the database to itself.
func (d *Database) forUpdate() string {
	if d.postgres {
		return " FOR UPDATE"
	}
	return ""
}

// skipLocked returns the clause that locks the rows of a SELECT, except those
// that another transaction has locked.
func (d *Database) skipLocked() string {
	if d.postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// elements returns the FROM item for the elements of the JSON array in the first
// parameter. Its column is named value.
func (d *Database) elements() string {
	if d.postgres {
		return "json_array_elements(CAST($1 AS json))"
	}
	return "json_each($1)"
}

// justBefore returns an expression for the latest time before that in a column
// of River's.
func (d *Database) justBefore(column string) string {
	if d.postgres {
		return column + " - INTERVAL '1 microsecond'"
	}
	return "strftime('%Y-%m-%d %H:%M:%f', " + column + ", '-0.001 seconds')"
}

// now returns an expression for the time in milliseconds by the database's clock,
// which all processes share.
func (d *Database) now() string {
	if d.postgres {
		return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
	}
	return "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
}
