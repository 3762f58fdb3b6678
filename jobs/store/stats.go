package store

import (
	"context"
	"fmt"
)

// Stats describe the database.
type Stats struct {
	Kind, Version string
	Bytes         int64
}

// Stats returns the kind, version and size of the database.
func (d *DB) Stats(ctx context.Context) (s Stats, err error) {
	s.Kind = "SQLite"
	query := `SELECT sqlite_version(), (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())`
	if d.postgres {
		s.Kind = "PostgreSQL"
		query = `SELECT current_setting('server_version'), pg_database_size(current_database())`
	}
	if err := d.Read.QueryRowContext(ctx, query).Scan(&s.Version, &s.Bytes); err != nil {
		return s, fmt.Errorf("read database statistics: %w", err)
	}
	return s, nil
}
