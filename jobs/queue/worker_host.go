package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"coatcheck/jobs/store"
)

// WorkerHost returns the name of the host of a worker; "" if the worker has stopped.
func (q *Queue) WorkerHost(ctx context.Context, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	var host string
	err := q.db.Read.QueryRowContext(ctx, `SELECT host FROM workers WHERE id = $1`, id).Scan(&host)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("read worker: %w", err)
	}
	return host, nil
}
