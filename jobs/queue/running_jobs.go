package queue

import (
	"context"
	"errors"
	"fmt"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// MaxRunning is the maximum number of jobs of each worker that [Queue.RunningJobs] returns.
const MaxRunning = 10

// A RunningJob is a job that a worker runs now.
type RunningJob struct {
	ID, Service string
	StartedAt   store.Time // of the attempt
}

// RunningJobs returns the jobs that each worker runs now, by the worker's id: of each, the oldest
// [MaxRunning] jobs, and one more if there are more. owner is "" for the jobs of all owners.
func (q *Queue) RunningJobs(ctx context.Context, owner string) (map[string][]RunningJob, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	query, args := runningQuery(owner)
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read running jobs: %w", err)
	}
	defer rows.Close()
	running := make(map[string][]RunningJob)
	for rows.Next() {
		var worker string
		var j RunningJob
		var history []jobs.Attempt
		if err := rows.Scan(&worker, &j.ID, &j.Service, store.JSON(&history)); err != nil {
			return nil, fmt.Errorf("read running jobs: %w", err)
		}
		if len(history) > 0 {
			j.StartedAt = history[len(history)-1].StartedAt
		}
		running[worker] = append(running[worker], j)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("read running jobs: %w", err)
	}
	return running, nil
}

// runningQuery returns the query of RunningJobs and its arguments. It reads the rows of all running
// jobs, which are as many as the workers have slots.
func runningQuery(owner string) (query string, args []any) {
	owned, args := ownedBy(owner)
	return fmt.Sprintf(`SELECT worker_id, id, service, history FROM (SELECT worker_id, id, service, history,
			row_number() OVER (PARTITION BY worker_id ORDER BY id) AS position
			FROM jobs WHERE %sstatus = 'running' AND worker_id IN (SELECT id FROM workers)) running
		WHERE position <= %d ORDER BY worker_id, id`, owned, MaxRunning+1), args
}
