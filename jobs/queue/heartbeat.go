package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/riverqueue/river"

	"coatcheck/jobs"
)

const (
	// heartbeatInterval is the interval of the heartbeat of a process that runs jobs.
	heartbeatInterval = time.Second
	// heartbeatTimeout is the timeout of a heartbeat, which is then retried on another connection.
	heartbeatTimeout = 2 * time.Second
)

// heartbeat sends this process's heartbeat (on PostgreSQL only: with SQLite, no other process could
// check it). It also stops those of its runs that lost their job or whose job is to be canceled.
func (q *Queue) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	if q.db.Postgres() {
		if err := q.registerWorker(ctx); err != nil {
			q.reaper.reset()
			return err
		}
	}
	return q.checkRuns(ctx)
}

// registerWorker inserts this process into the table of workers, or updates its heartbeat.
func (q *Queue) registerWorker(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if _, err = q.db.Heartbeats.ExecContext(ctx, `INSERT INTO workers (id, host, pid, version, concurrency, started_at, beat_at) VALUES ($1, $2, $3, $4, $5, `+q.db.Now()+`, `+q.db.Now()+`)
		ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at`,
		q.workerID, host, os.Getpid(), q.Version, q.Workers); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// unregisterWorker deletes this process from the table of workers.
func (q *Queue) unregisterWorker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, staleAfter)
	defer cancel()
	if _, err := q.db.Heartbeats.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, q.workerID); err != nil {
		return fmt.Errorf("unregister worker: %w", err)
	}
	return nil
}

// checkRuns compares this process's runs with the table, in case a notification that a job was
// taken away or canceled was lost, or the outcome of a run could not be written.
func (q *Queue) checkRuns(ctx context.Context) error {
	q.mu.Lock()
	runs := maps.Clone(q.runs) // before the query, so that each has its row
	q.mu.Unlock()
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, run_id, cancel_requested_at IS NOT NULL FROM jobs WHERE status = 'running' AND worker_id = $1`,
		q.workerID)
	if err != nil {
		return fmt.Errorf("check runs: %w", err)
	}
	defer rows.Close()
	untracked := make(map[string]string)
	for rows.Next() {
		var id, runID string
		var cancelRequested bool
		if err := rows.Scan(&id, &runID, &cancelRequested); err != nil {
			return fmt.Errorf("check runs: %w", err)
		}
		switch r := runs[id]; {
		case r == nil || r.job.RunID != runID:
			untracked[id] = runID
		case cancelRequested:
			r.cancel(river.ErrJobCancelledRemotely)
			fallthrough
		default:
			delete(runs, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("check runs: %w", err)
	}
	for _, r := range runs {
		r.cancel(jobs.ErrLost)
	}
	for id, runID := range untracked {
		if err := q.recoverUntracked(ctx, id, runID); err != nil {
			return err
		}
	}
	return q.checkFetched(ctx)
}

// recoverUntracked gives a job to another run if the table assigns it to this process but the
// process is not working on it: its outcome could not be written.
func (q *Queue) recoverUntracked(ctx context.Context, id, runID string) error {
	if q.isWorkingOn(id) {
		return nil // about to start, or to write its outcome
	}
	_, err := q.transit(ctx, id, func(_ context.Context, _ *batch, j *jobs.Job) (jobs.Trigger, error) {
		if j.Status != jobs.Running || j.RunID != runID {
			return nil, refuse(jobs.ErrLost)
		}
		return q.executionLost(), nil
	})
	return ignoreLost(err)
}

// checkFetched releases the jobs and deliveries that this process fetched long ago and is not
// working on: the process could not store that it started them, and River could not store that they
// should be retried.
func (q *Queue) checkFetched(ctx context.Context) error {
	mine := q.fetched(`%s = $1`)
	ids, err := q.find(ctx, mine, q.workerID)
	if err != nil {
		return err
	}
	for _, id := range q.idleJobs.overdue(ids, q.isWorkingOn) {
		if err := q.recoverFetched(ctx, id, mine); err != nil {
			return err
		}
	}
	return q.releaseIdle(ctx)
}

// recoverFetched creates a new River job for a job that query still finds.
func (q *Queue) recoverFetched(ctx context.Context, id, query string) error {
	_, err := q.transit(ctx, id, q.lostIf(query))
	return ignoreLost(err)
}

// beginWork marks that this process is working on a job or delivery, until end is called.
func (q *Queue) beginWork(id string) (end func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.working[id]++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.working[id]--; q.working[id] == 0 {
			delete(q.working, id)
		}
	}
}

// isWorkingOn reports whether this process is working on a job or delivery.
func (q *Queue) isWorkingOn(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.working[id] > 0
}

// freeSlot frees the slot of an abandoned service for another job. If there are already as many
// abandoned services as slots, it waits.
func (q *Queue) freeSlot(returned <-chan struct{}) {
	if returned == nil {
		return
	}
	q.counters.abandoned.Add(1)
	q.counters.unresponsive.Add(1)
	select {
	case q.abandonedSlots <- struct{}{}:
		q.wg.Go(func() {
			defer q.counters.unresponsive.Add(-1)
			select {
			case <-returned:
				<-q.abandonedSlots
			case <-q.stopping:
			}
		})
	case <-returned:
		q.counters.unresponsive.Add(-1)
	case <-q.stopping:
	}
}

// idle tracks what this process has fetched and is not working on. The zero value is ready to use.
type idle struct{ since map[string]time.Time }

// overdue returns those of ids that were in every call for [staleAfter] while works returned false
// for them.
func (i *idle) overdue(ids []string, works func(id string) bool) []string {
	since := make(map[string]time.Time)
	var overdue []string
	for _, id := range ids {
		first, seen := i.since[id]
		switch {
		case works(id):
		case !seen:
			since[id] = time.Now()
		case time.Since(first) < staleAfter:
			since[id] = first
		default:
			overdue = append(overdue, id)
		}
	}
	i.since = since
	return overdue
}
