package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	// housekeepingBatch limits how many rows one round of housekeeping changes, so that it never
	// delays the queue.
	housekeepingBatch = 200
)

// housekeeping expires jobs that did not start in time, and deletes expired rows. Every process with
// workers runs it; concurrent rounds do no harm.
func (q *Queue) housekeeping(ctx context.Context) error {
	errs := []error{
		q.expire(ctx), q.deleteExpired(ctx), q.Keys.DeleteExpired(ctx), q.Receivers.DeleteExpired(ctx),
	}
	for _, deleteExpired := range q.Housekeeping {
		errs = append(errs, deleteExpired(ctx))
	}
	return errors.Join(errs...)
}

// promote queues the jobs whose run_at has passed. They have no River job until then, because
// River's own scheduler only runs every five seconds.
func (q *Queue) promote(ctx context.Context) error {
	return q.transitAll(ctx, always(jobs.StartDue{}),
		`SELECT id FROM jobs WHERE status IN ('scheduled', 'retrying') AND run_at <= $1 ORDER BY run_at`,
		store.At(time.Now()))
}

// expire ends the jobs that did not start in time.
func (q *Queue) expire(ctx context.Context) error {
	return q.transitAll(ctx, always(jobs.StartMissed{}), `SELECT id FROM jobs WHERE status IN ('scheduled', 'queued') AND expires_at <= $1 AND started_at IS NULL ORDER BY expires_at`, store.At(time.Now()))
}

// transitAll calls transitBatch until no jobs are left.
func (q *Queue) transitAll(ctx context.Context, decide decider, query string, args ...any) error {
	for {
		found, err := q.transitBatch(ctx, decide, query, args...)
		if err != nil || found < housekeepingBatch {
			return err
		}
	}
}

// transitBatch applies a transition to each job that query finds. It submits many at once so that
// they share commits. A transition that another process has already made is refused, which is not
// an error. transitBatch returns how many jobs it found.
func (q *Queue) transitBatch(ctx context.Context, decide decider, query string, args ...any) (found int, err error) {
	ids, err := q.find(ctx, query, args...)
	if err != nil {
		return len(ids), err
	}
	batches, err := q.memoryBatches(ctx, ids)
	errs := []error{err}
	for _, batch := range batches {
		_, failed := changeEach(ctx, batch, housekeepingBatch, func(ctx context.Context, id string) error {
			if _, err := q.transit(ctx, id, decide); !errors.Is(err, jobs.ErrLost) {
				return err
			}
			return nil
		})
		errs = append(errs, failed...)
	}
	return len(ids), errors.Join(errs...)
}

// find returns the ids that query finds, up to housekeepingBatch.
func (q *Queue) find(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := q.db.Read.QueryContext(ctx, fmt.Sprintf("%s LIMIT %d", query, housekeepingBatch), args...)
	if err != nil {
		return nil, fmt.Errorf("find due jobs: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("find due jobs: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

const (
	// maxTogether limits the total size of the inputs and outputs of jobs that are changed
	// concurrently: changing a job reads its whole row.
	maxTogether = 64 << 20
	// fewTogether is how many jobs may be changed concurrently regardless of their size.
	fewTogether = 8
)

// memoryBatches splits jobs into batches that each fit into memory. It keeps their order.
func (q *Queue) memoryBatches(ctx context.Context, ids []string) ([][]string, error) {
	if len(ids) <= fewTogether {
		return [][]string{ids}, nil
	}
	marks, args := placeholders(ids)
	// Neither database reads a text to determine its length.
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, octet_length(steps) + COALESCE(octet_length(output), 0) FROM jobs WHERE id IN (`+marks+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("measure jobs: %w", err)
	}
	defer rows.Close()
	sizes := make(map[string]int64, len(ids))
	for rows.Next() {
		var id string
		var size int64
		if err := rows.Scan(&id, &size); err != nil {
			return nil, fmt.Errorf("measure jobs: %w", err)
		}
		sizes[id] = size
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("measure jobs: %w", err)
	}
	var batches [][]string
	first, sum := 0, int64(0)
	for i, id := range ids {
		if sum += sizes[id]; sum > maxTogether && i-first >= fewTogether {
			batches = append(batches, ids[first:i])
			first, sum = i, sizes[id]
		}
	}
	return append(batches, ids[first:]), nil
}
