package jobs

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

// A renewal gives up connections to PostgreSQL, all together: one that a failover
// has left with a server that takes no changes, or through which nothing comes any
// more, would otherwise stay in use.
type renewal struct {
	generation atomic.Int64
	renewed    atomic.Int64 // when the newest generation began, in nanoseconds since 1970
}

// generationOf is where a connection has its generation.
const generationOf = "coatcheck generation"

// renewInterval is the least time between two generations.
const renewInterval = time.Second

// open opens a database whose sessions have the settings, except those that its
// URL has. They are set after connecting: connection poolers such as PgBouncer
// refuse them as parameters of the connection.
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
			return driver.ErrBadConn // another one takes its place
		}
		return nil
	}))
}

// renew gives up all connections: those in use when they are free.
func (r *renewal) renew() {
	now, last := time.Now().UnixNano(), r.renewed.Load()
	if now-last >= int64(renewInterval) && r.renewed.CompareAndSwap(last, now) {
		r.generation.Add(1)
	}
}

// renew gives up all connections to PostgreSQL, because one of them is of no use.
func (d *Database) renew() {
	if d.postgres {
		d.renewal.renew()
	}
}
