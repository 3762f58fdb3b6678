package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// errPooled is the error for a connection pooler in transaction mode.
var errPooled = errors.New("database_url points to a connection pooler in transaction mode, which would mix up the settings of PostgreSQL sessions: use session mode (PgBouncer: pool_mode = session), or connect to PostgreSQL directly")

// refusePooling returns errPooled if two connections share PostgreSQL sessions: if both have the
// same session, or if the first gets another session while the second has a transaction. A pooler
// that assigns its sessions in turn may show neither on the first try, so refusePooling tries
// several times.
func refusePooling(ctx context.Context, first, second *sql.DB) error {
	for range 5 {
		if err := detectPooling(ctx, first, second); err != nil {
			return err
		}
	}
	return nil
}

func detectPooling(ctx context.Context, first, second *sql.DB) error {
	a, err := first.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer a.Close()
	// Simple protocol, because poolers may also lose prepared statements.
	pid := func(db interface {
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	},
	) (pid int, err error) {
		err = db.QueryRowContext(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid)
		return pid, err
	}
	before, err := pid(a)
	if err != nil {
		return fmt.Errorf("read the PostgreSQL session id: %w", err)
	}
	tx, err := second.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("read the PostgreSQL session id: %w", err)
	}
	defer tx.Rollback()
	other, err := pid(tx)
	if err != nil {
		return fmt.Errorf("read the PostgreSQL session id: %w", err)
	}
	after, err := pid(a)
	if err != nil {
		return fmt.Errorf("read the PostgreSQL session id: %w", err)
	}
	if other == before || after != before {
		return errPooled
	}
	return nil
}
