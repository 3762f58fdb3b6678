package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// Redeliver sends a callback again, whatever its outcome was, with a new schedule of attempts. A
// pending callback is attempted at once. Error: [ErrNoDelivery].
func (q *Queue) Redeliver(ctx context.Context, id string) (Delivery, error) {
	if err := q.redeliver(ctx, id, time.Now()); err != nil {
		return Delivery{}, err
	}
	return q.Delivery(ctx, id)
}

// redeliver schedules the first attempt at a time.
func (q *Queue) redeliver(ctx context.Context, id string, at time.Time) error {
	var jobID string
	err := q.db.Keyed.QueryRowContext(ctx, `SELECT job_id FROM deliveries WHERE id = $1`, id).Scan(&jobID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoDelivery
	}
	if err != nil {
		return fmt.Errorf("read delivery: %w", err)
	}
	return q.committer.commit(ctx, &change{names: []string{jobID, id}, lock: jobID, lockOnly: true, apply: func(ctx context.Context, b *batch) error {
		tx := b.tx
		d, err := scanDelivery(tx.QueryRowContext(ctx,
			`SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1`+q.db.ForUpdate(), id))
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(ErrNoDelivery)
		}
		if err != nil {
			return fmt.Errorf("read delivery: %w", err)
		}
		next := store.At(at)
		if _, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = 'pending', scheduled_from = attempts, next_attempt_at = $1, finished_at = NULL, claimed_by = NULL, tried = 1 WHERE id = $2`, next, id); err != nil {
			return fmt.Errorf("redeliver: %w", err)
		}
		b.announce(d.Owner, d.URL, next)
		summary := jobs.Callback{
			URL: d.URL, Status: pending, Attempts: d.AttemptCount, LastStatusCode: d.LastStatusCode,
			NextAttemptAt: &next,
		}
		return updateSummary(ctx, tx, string(d.JobID), id, &summary)
	}})
}

// updateSummary copies the state of a job's newest callback, except progress, into the job.
func updateSummary(ctx context.Context, tx store.Tx, jobID, deliveryID string, c *jobs.Callback) error {
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET callback = $1 WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = jobs.id AND d.id > $3 AND d.event <> 'job.progress')`,
		store.JSON(c), jobID, deliveryID); err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	return nil
}

const (
	// MaxRedeliveries is the maximum number of deliveries that one [Queue.RedeliverAll] sends
	// again.
	MaxRedeliveries = 1000
	// redeliverEvery is the time between their first attempts.
	redeliverEvery = 20 * time.Millisecond
)

// RedeliverAll sends the newest callbacks that match the filter again, up to [MaxRedeliveries] at
// 50 per second, and returns how many.
func (q *Queue) RedeliverAll(ctx context.Context, f DeliveryFilter) (int, error) {
	f.Limit, f.WithoutAttempts = MaxRedeliveries, true
	chosen, err := q.Deliveries(ctx, f)
	if err != nil {
		return 0, err
	}
	now, n := time.Now(), 0
	for _, d := range chosen {
		err := q.redeliver(ctx, d.ID, now.Add(time.Duration(n)*redeliverEvery))
		if errors.Is(err, ErrNoDelivery) {
			continue // deleted meanwhile
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
