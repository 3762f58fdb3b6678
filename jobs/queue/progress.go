package queue

import (
	"context"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// callbackInterval is the minimum time between two progress callbacks of a job.
const callbackInterval = time.Second

// deliverProgress adds a delivery of a running job's progress. If one is pending, its body is
// replaced: only the newest progress counts. It reports false if a delivery is in flight; the
// caller must then try again later.
func (b *batch) deliverProgress(ctx context.Context, j *jobs.Job) (delivered bool, err error) {
	body, err := b.callbackBody(j, jobs.JobProgress)
	if err != nil {
		return false, err
	}
	at := b.now
	var replaced []string
	rows, err := b.tx.QueryContext(ctx, `SELECT id, status, claimed_by IS NOT NULL, finished_at FROM deliveries WHERE job_id = $1 AND event = 'job.progress' ORDER BY id`+b.q.db.ForUpdate(), j.ID)
	if err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, status string
		var claimed bool
		var finishedAt *store.Time
		if err := rows.Scan(&id, &status, &claimed, &finishedAt); err != nil {
			return false, fmt.Errorf("read progress deliveries: %w", err)
		}
		switch {
		case claimed:
			return false, nil
		case status == pending:
			rows.Close()
			return true, b.replaceProgress(ctx, id, body)
		case finishedAt != nil:
			at = later(store.At(finishedAt.Add(callbackInterval)), at.Time)
		}
		replaced = append(replaced, id)
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	for _, id := range replaced {
		if err := b.deleteDelivery(ctx, id); err != nil {
			return false, err
		}
	}
	return true, b.addDelivery(j, jobs.JobProgress, body, at)
}

func (b *batch) replaceProgress(ctx context.Context, id string, body []byte) error {
	if _, err := b.tx.ExecContext(ctx,
		`UPDATE deliveries SET body = $1, created_at = $2 WHERE id = $3`, body, b.now, id); err != nil {
		return fmt.Errorf("update progress delivery: %w", err)
	}
	return nil
}

func (b *batch) deleteDelivery(ctx context.Context, id string) error {
	for _, stmt := range []string{`DELETE FROM delivery_attempts WHERE delivery_id = $1`, `DELETE FROM deliveries WHERE id = $1`} {
		if _, err := b.tx.ExecContext(ctx, stmt, id); err != nil {
			return fmt.Errorf("delete delivery: %w", err)
		}
	}
	return nil
}

// dropProgress deletes the pending progress deliveries of jobs that end. A delivery in flight makes
// the final callback wait.
func (b *batch) dropProgress(ctx context.Context) error {
	for _, id := range b.finishedWithProgress {
		if _, err := b.tx.ExecContext(ctx, `DELETE FROM deliveries WHERE job_id = $1 AND event = 'job.progress' AND status = 'pending' AND claimed_by IS NULL`, id); err != nil {
			return fmt.Errorf("delete pending progress: %w", err)
		}
	}
	return nil
}
