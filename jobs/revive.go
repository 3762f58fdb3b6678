package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// A stuckDelivery is a delivery whose River job will not lead to an attempt.
type stuckDelivery struct {
	jobID, id  string
	riverJobID int64
}

// reviveDeliveries gives new River jobs to the pending deliveries whose River job
// is gone, has ended, or fulfills stuck, a condition on its row r.
func (q *Queue) reviveDeliveries(ctx context.Context, stuck string) error {
	found, err := q.stuckDeliveries(ctx, `deliveries d LEFT JOIN river_job r ON r.id = d.river_job_id
		WHERE d.status = 'pending' AND (r.id IS NULL OR r.state IN ('cancelled', 'discarded', 'completed') OR `+stuck+`) ORDER BY d.next_attempt_at`)
	if err != nil {
		return err
	}
	return q.reviveAll(ctx, found)
}

// reviveFetched gives new River jobs to the deliveries that this process fetched
// long ago and does not work on: River could not store that they are to be tried
// later, or PostgreSQL lost that in a crash.
func (q *Queue) reviveFetched(ctx context.Context) error {
	found, err := q.stuckDeliveries(ctx, `river_job r JOIN deliveries d ON d.id = r.args ->> 'delivery_id' AND d.river_job_id = r.id
		WHERE r.state = 'running' AND r.queue IN ('`+callbackQueue+`', '`+retryQueue+`') AND d.status = 'pending' AND `+q.fetcher()+` = $1`, q.workerID)
	if err != nil {
		return err
	}
	ids := make([]string, len(found))
	for i, d := range found {
		ids[i] = d.id
	}
	idle := q.idleDeliveries.overdue(ids, q.works)
	return q.reviveAll(ctx, slices.DeleteFunc(found, func(d stuckDelivery) bool { return !slices.Contains(idle, d.id) }))
}

func (q *Queue) reviveAll(ctx context.Context, deliveries []stuckDelivery) error {
	for _, d := range deliveries {
		if err := q.revive(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// stuckDeliveries returns the deliveries d of a query, from its FROM on; not more
// than [houseBatch].
func (q *Queue) stuckDeliveries(ctx context.Context, query string, args ...any) ([]stuckDelivery, error) {
	rows, err := q.db.read.QueryContext(ctx, fmt.Sprintf(`SELECT d.job_id, d.id, d.river_job_id FROM %s LIMIT %d`, query, houseBatch), args...)
	if err != nil {
		return nil, fmt.Errorf("find stuck deliveries: %w", err)
	}
	defer rows.Close()
	var found []stuckDelivery
	for rows.Next() {
		var d stuckDelivery
		if err := rows.Scan(&d.jobID, &d.id, &d.riverJobID); err != nil {
			return nil, fmt.Errorf("find stuck deliveries: %w", err)
		}
		found = append(found, d)
	}
	return found, errors.Join(rows.Err(), rows.Close())
}

// revive gives a delivery a new River job, unless it got another one meanwhile.
func (q *Queue) revive(ctx context.Context, d stuckDelivery) error {
	err := q.committer.commit(ctx, &change{names: []string{d.jobID, d.id}, lock: d.jobID, lockOnly: true, apply: func(ctx context.Context, b *batch) error {
		riverJobID, err := b.carryDelivery(ctx, d.id)
		if err != nil {
			return err
		}
		_, err = b.tx.ExecContext(ctx, `UPDATE deliveries SET river_job_id = $1 WHERE id = $2 AND status = 'pending' AND river_job_id = $3`, riverJobID, d.id, d.riverJobID)
		return err
	}})
	if err != nil {
		return fmt.Errorf("revive delivery: %w", err)
	}
	return nil
}
