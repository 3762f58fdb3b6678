package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/counts"
	"coatcheck/jobs/store"
)

const (
	// removedAge is how long a removed job returns 410 before it is unknown, and how long its
	// idempotency key remains reserved.
	removedAge = 24 * time.Hour
	// removeTime limits how long a round removes records. It then pauses for about as long, so that
	// the queue has the database to itself half of the time.
	removeTime = 500 * time.Millisecond
)

// removeExpired deletes expired records, later the entries that mark them as removed, and old counts
// of ended jobs. It uses small separate transactions for a limited time.
func (q *Queue) removeExpired(ctx context.Context) error {
	for _, remove := range []func(context.Context) (full bool, err error){
		q.removeJobs,
		func(ctx context.Context) (bool, error) {
			return q.deleteExpiredRows(ctx, "removed_jobs", "id", "removed_at", time.Now().Add(-removedAge))
		},
		func(ctx context.Context) (bool, error) {
			return q.deleteExpiredRows(ctx, "idempotency_keys", "owner, service, key", "forget_at", time.Now())
		},
		func(ctx context.Context) (bool, error) { return q.deleteCounts(ctx, time.Minute, counts.MinuteAge) },
		func(ctx context.Context) (bool, error) { return q.deleteCounts(ctx, time.Hour, counts.HourAge) },
	} {
		for start := time.Now(); time.Since(start) < removeTime; {
			full, err := remove(ctx)
			if err != nil {
				return err
			}
			if !full {
				break
			}
		}
	}
	return nil
}

// removeJobs removes one batch of jobs.
func (q *Queue) removeJobs(ctx context.Context) (full bool, err error) {
	ids, err := q.find(ctx, `SELECT id FROM jobs WHERE remove_at <= $1 ORDER BY remove_at`, store.At(time.Now()))
	if err != nil || len(ids) == 0 {
		return false, err
	}
	withFiles, err := q.jobsWithFiles(ctx, ids)
	if err != nil {
		return false, err
	}
	tx, err := q.db.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if err := q.remove(ctx, tx, ids, time.Now().UnixMilli()); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	q.removeFiles(ctx, withFiles...)
	return len(ids) == housekeepingBatch, nil
}

// jobsWithFiles returns those of the jobs that have files, unless a crash has left them behind. To ask
// a remote store about each job would take too long.
func (q *Queue) jobsWithFiles(ctx context.Context, ids []string) ([]string, error) {
	if q.Files == nil {
		return nil, nil
	}
	marks, args := placeholders(ids)
	return q.find(ctx, `SELECT id FROM jobs WHERE id IN (`+marks+`)
		AND (COALESCE(output_file, '') <> '' OR steps LIKE '%"uploads":%')`, args...)
}

// deleteCounts deletes one batch of the old counts of a span.
func (q *Queue) deleteCounts(ctx context.Context, span, age time.Duration) (full bool, err error) {
	return q.deleteExpiredRows(ctx, "job_counts", "owner, span, start_at, service, worker_id",
		fmt.Sprintf("span = %d AND start_at", span.Milliseconds()), time.Now().Add(-age))
}

// deleteExpiredRows deletes one batch of a table's rows whose time in a column has passed. Other
// conditions may precede the column.
func (q *Queue) deleteExpiredRows(ctx context.Context, table, key, column string, at time.Time) (full bool, err error) {
	before := store.At(at)
	old := fmt.Sprintf(`SELECT %s FROM %s WHERE %s < $1 LIMIT %d`, key, table, column, housekeepingBatch)
	// Reading first keeps an idle server from writing.
	var n int64
	if err := q.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM (`+old+`) old`, before).Scan(&n); err != nil || n == 0 {
		return false, err
	}
	_, err = q.db.Write.ExecContext(ctx, fmt.Sprintf(`DELETE FROM %s WHERE (%s) IN (%s)`, table, key, old), before)
	return n == housekeepingBatch, err
}

// Delete erases a finished job: its input, output, log, events and deliveries, and its callbacks in
// a test receiver. Only its idempotency key remains reserved for a day, so that a repeated request
// creates no other job. If a callback is still pending, Delete fails unless force is set. Errors:
// [jobs.ErrNotFound], [jobs.ErrNotFinished], [jobs.ErrPending].
func (q *Queue) Delete(ctx context.Context, id string, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	_, err := detached(ctx, func(ctx context.Context) (struct{}, error) {
		err := q.erase(ctx, id, force)
		if err == nil {
			q.removeFiles(ctx, id)
			if err := q.Events.Erase(id); err != nil { // the events expire later by themselves
				q.Logger.DebugContext(ctx, "events not erased", "job", id, "err", err)
			}
		}
		return struct{}{}, err
	})
	return err
}

// erase deletes the data of a finished job from the database.
func (q *Queue) erase(ctx context.Context, id string, force bool) error {
	return q.committer.commit(ctx, &change{names: []string{id}, lock: id, apply: func(ctx context.Context, b *batch) error {
		tx := b.tx
		j, err := b.job(id)
		if err != nil {
			return err
		}
		if !j.Done {
			return refuse(jobs.ErrNotFinished)
		}
		if !force {
			var owed int
			if err := tx.QueryRowContext(ctx,
				`SELECT count(*) FROM deliveries WHERE job_id = $1 AND status = 'pending'`,
				id).Scan(&owed); err != nil {
				return fmt.Errorf("count deliveries: %w", err)
			}
			if owed > 0 {
				return refuse(jobs.ErrPending)
			}
		}
		if err := q.Receivers.Erase(ctx, tx, j.ID, j.Requested.URL); err != nil {
			return err
		}
		for _, stmt := range []string{
			`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE job_id = $1)`,
			`DELETE FROM deliveries WHERE job_id = $1`,
		} {
			if _, err := tx.ExecContext(ctx, stmt, id); err != nil {
				return fmt.Errorf("delete deliveries: %w", err)
			}
		}
		if err := q.remove(ctx, tx, []string{id}, math.MaxInt64); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM removed_jobs WHERE id = $1`, id); err != nil {
			return fmt.Errorf("erase job: %w", err)
		}
		return nil
	}})
}

// remove deletes those of the jobs whose remove_at is at most due, in milliseconds since 1970, and
// marks them as removed. Pending deliveries stay, because the callback was promised.
func (q *Queue) remove(ctx context.Context, tx store.Tx, ids []string, due int64) error {
	// Locked first, so that no callback of them is attempted in between.
	ids, err := lockDue(ctx, tx, ids, due, q.db.SkipLocked())
	if err != nil || len(ids) == 0 {
		return err
	}
	marks, args := placeholders(ids)
	below := ` WHERE job_id IN (` + marks + `)`
	for _, stmt := range []string{
		fmt.Sprintf(`INSERT INTO removed_jobs (id, owner, removed_at) SELECT id, owner, %d FROM jobs WHERE id IN (%s) ON CONFLICT DO NOTHING`, time.Now().UnixMilli(), marks),
		`DELETE FROM job_tags` + below,
		`DELETE FROM job_logs` + below,
		fmt.Sprintf(`UPDATE idempotency_keys SET forget_at = %d%s`, time.Now().Add(removedAge).UnixMilli(), below),
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries` + below + ` AND status <> 'pending')`,
		`DELETE FROM deliveries` + below + ` AND status <> 'pending'`,
		`DELETE FROM jobs WHERE id IN (` + marks + `)`,
	} {
		if _, err := tx.ExecContext(ctx, stmt, args...); err != nil {
			return fmt.Errorf("remove jobs: %w", err)
		}
	}
	return nil
}

// lockDue locks those of the jobs that are due and that no other transaction has locked, and
// returns their ids.
func lockDue(ctx context.Context, tx store.Tx, ids []string, due int64, skipLocked string) ([]string, error) {
	marks, args := placeholders(ids)
	args = append(args, due)
	rows, err := tx.QueryContext(ctx, fmt.Sprintf(`SELECT id FROM jobs WHERE id IN (%s) AND remove_at <= $%d ORDER BY id`, marks, len(args))+skipLocked, args...)
	if err != nil {
		return nil, fmt.Errorf("lock old jobs: %w", err)
	}
	defer rows.Close()
	var locked []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("lock old jobs: %w", err)
		}
		locked = append(locked, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("lock old jobs: %w", err)
	}
	return locked, nil
}

// placeholders returns the placeholders "$1, $2 …" for the ids, and the ids as arguments.
func placeholders(ids []string) (marks string, args []any) {
	numbers := make([]string, len(ids))
	for i, id := range ids {
		numbers[i] = fmt.Sprintf("$%d", i+1)
		args = append(args, id)
	}
	return strings.Join(numbers, ", "), args
}
