package queue

import (
	"context"
	"errors"
	"fmt"

	"coatcheck/jobs/store"
)

// Retries returns, for those of the jobs that were retried, the id of the newest job that runs them again.
func (q *Queue) Retries(ctx context.Context, ids ...string) (map[string]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	marks, args := placeholders(ids)
	rows, err := q.db.Read.QueryContext(ctx, `SELECT retry_of, max(id) FROM jobs WHERE retry_of <> '' AND retry_of IN (`+
		marks+`) GROUP BY retry_of`, args...)
	if err != nil {
		return nil, fmt.Errorf("read retries: %w", err)
	}
	defer rows.Close()
	retries := make(map[string]string)
	for rows.Next() {
		var old, again string
		if err := rows.Scan(&old, &again); err != nil {
			return nil, fmt.Errorf("read retries: %w", err)
		}
		retries[old] = again
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("read retries: %w", err)
	}
	return retries, nil
}
