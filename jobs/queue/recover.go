package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"coatcheck/jobs"
)

const (

	// reconcileInterval is how often the table is compared with River's.
	reconcileInterval = 5 * time.Second
	reconcileBatch    = 500
)

// recoverAtStart sends the first heartbeat. On SQLite, where no other process can exist, it also
// recovers the jobs that the previous process left running. It is called before River starts.
func (q *Queue) recoverAtStart(ctx context.Context) error {
	if q.db.Postgres() {
		return q.heartbeat(ctx)
	}
	if _, err := q.db.Write.ExecContext(ctx, `DELETE FROM workers`); err != nil {
		return fmt.Errorf("delete old workers: %w", err)
	}
	if err := q.registerWorker(ctx); err != nil {
		return err
	}
	return q.recoverFromDead(ctx)
}

// ignoreLost returns err, or nil if it means that another process was faster.
func ignoreLost(err error) error {
	if errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) {
		return nil
	}
	return err
}

// reconcile finds queued jobs without a live River job, because someone changed River's tables. A
// running job needs no River job: a leader that does not know its service discards that River job
// after a while. Each round compares one batch, so that a long queue does not make it more
// expensive.
func (q *Queue) reconcile(ctx context.Context) error {
	next := ""
	rows, err := q.db.Read.QueryContext(ctx, `SELECT j.id, r.state, COALESCE(r.id, 0), COALESCE(r.queue, ''), COALESCE(r.kind, '') FROM (SELECT id, river_job_id FROM jobs WHERE status = 'queued' AND id > $1 ORDER BY id LIMIT $2) j
		LEFT JOIN river_job r ON r.id = j.river_job_id ORDER BY j.id`, q.reconciled, reconcileBatch)
	if err != nil {
		return fmt.Errorf("compare with River: %w", err)
	}
	defer rows.Close()
	n, orphans, misplaced := 0, map[string]string{}, map[int64]string{}
	for rows.Next() {
		var state sql.NullString
		var riverJobID int64
		var queue, kind string
		if err := rows.Scan(&next, &state, &riverJobID, &queue, &kind); err != nil {
			return fmt.Errorf("compare with River: %w", err)
		}
		n++
		switch state.String {
		case "", "cancelled", "discarded", "completed":
			orphans[next] = state.String
		case "available":
			service := strings.TrimPrefix(kind, runArgs{}.Kind())
			if want := q.riverQueue(service); want != queue && q.Services.Get(service) != nil {
				misplaced[riverJobID] = want
			}
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("compare with River: %w", err)
	}
	if q.reconciled = next; n < reconcileBatch {
		q.reconciled = ""
	}
	for id, queue := range misplaced { // the service's concurrency was set or unset since
		if _, err := q.db.Write.ExecContext(ctx, `UPDATE river_job SET queue = $1 WHERE id = $2 AND state = 'available'`, queue, id); err != nil {
			return fmt.Errorf("move River job: %w", err)
		}
	}
	for id := range orphans {
		if err := q.restoreRiverJob(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// restoreRiverJob creates a new River job for a job that has lost its own. If an operator canceled
// the River job, it cancels the job instead.
func (q *Queue) restoreRiverJob(ctx context.Context, id string) error {
	_, err := q.transit(ctx, id, func(ctx context.Context, b *batch, j *jobs.Job) (jobs.Trigger, error) {
		var state sql.NullString
		err := b.tx.QueryRowContext(ctx, `SELECT state FROM river_job WHERE id = $1`, j.RiverJobID).Scan(&state)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, fmt.Errorf("read River job: %w", err)
		}
		switch {
		case j.Status != jobs.Queued || state.String != "" && state.String != "cancelled" && state.String != "discarded" && state.String != "completed":
			return nil, refuse(jobs.ErrLost)
		case state.String == "cancelled":
			return jobs.RiverCanceled{}, nil
		default:
			return q.executionLost(), nil
		}
	})
	return ignoreLost(err)
}

// executionLost returns the trigger for a job that has lost its worker or its River job.
func (q *Queue) executionLost() jobs.Trigger {
	return jobs.ExecutionLost{Isolates: q.Isolate != nil}
}
