package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A renewal replaces all connections to PostgreSQL at once. Otherwise, a connection to a server
// that became read-only in a failover, or a half-open connection, would stay in use.
type renewal struct {
	generation atomic.Int64
	renewed    atomic.Int64 // start of the newest generation, in nanoseconds since 1970
}

// generationOf is the key of a connection's generation in its custom data.
const generationOf = "coatcheck generation"

// renewInterval is the minimum time between two generations.
const renewInterval = time.Second

// open opens a database whose sessions have the settings, except those that its URL sets. They are
// set after connecting, because poolers such as PgBouncer reject them as connection parameters.
func (r *renewal) open(c *pgx.ConnConfig, set settings) *sql.DB {
	var statements []string
	for name, value := range set {
		if _, inURL := c.RuntimeParams[name]; !inURL {
			statements = append(statements, fmt.Sprintf("SET %s = '%s'", name, value))
		}
	}
	begin := strings.Join(statements, "; ")
	return stdlib.OpenDB(*c, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		conn.PgConn().CustomData()[generationOf] = r.generation.Load()
		_, err := conn.Exec(ctx, begin, pgx.QueryExecModeSimpleProtocol)
		return err
	}), stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
		if conn.PgConn().CustomData()[generationOf] != r.generation.Load() {
			return driver.ErrBadConn // database/sql replaces the connection
		}
		return nil
	}))
}

// renew replaces all connections; those in use when they are released.
func (r *renewal) renew() {
	now, last := time.Now().UnixNano(), r.renewed.Load()
	if now-last >= int64(renewInterval) && r.renewed.CompareAndSwap(last, now) {
		r.generation.Add(1)
	}
}

// Renew replaces all connections to PostgreSQL, because one of them is unusable.
func (d *DB) Renew() {
	if d.postgres {
		d.renewal.renew()
	}
}
