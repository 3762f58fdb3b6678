package queue

import (
	"context"
	"errors"
	"fmt"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

var (
	// ErrQueueFull means that the queue has reached [Config.MaxQueued].
	ErrQueueFull = errors.New("too many jobs are waiting")
	// ErrUserQueueFull means that the user has reached [Config.MaxQueuedByUser].
	ErrUserQueueFull = errors.New("too many of the user's jobs are waiting")
)

// admit returns an error if the queue cannot accept a job from the owner now.
func (q *Queue) admit(owner string) error {
	if q.health.failing() {
		return store.ErrUnavailable // fail fast while the database is down
	}
	if q.MaxQueued > 0 && q.waiting.Load() >= q.MaxQueued {
		return ErrQueueFull
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.MaxQueuedByUser > 0 && q.owners[owner] >= q.MaxQueuedByUser {
		return ErrUserQueueFull
	}
	return nil
}

// admitted counts an accepted job of the owner.
func (q *Queue) admitted(owner string) {
	q.waiting.Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.owners != nil {
		q.owners[owner]++
	}
}

// countWaiting refreshes the numbers of waiting jobs, for MaxQueued and MaxQueuedByUser.
func (q *Queue) countWaiting(ctx context.Context) error {
	if q.MaxQueued > 0 {
		depth, err := q.Depth(ctx)
		if err != nil {
			return err
		}
		q.waiting.Store(depth[jobs.Scheduled] + depth[jobs.Queued] + depth[jobs.Retrying])
	}
	if q.MaxQueuedByUser == 0 {
		return nil
	}
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT owner, count(*) FROM jobs WHERE status IN ('scheduled', 'queued', 'retrying') GROUP BY owner`)
	if err != nil {
		return fmt.Errorf("count jobs of users: %w", err)
	}
	defer rows.Close()
	owners := make(map[string]int64)
	for rows.Next() {
		var owner string
		var n int64
		if err := rows.Scan(&owner, &n); err != nil {
			return fmt.Errorf("count jobs of users: %w", err)
		}
		owners[owner] = n
	}
	q.mu.Lock()
	q.owners = owners
	q.mu.Unlock()
	return rows.Err()
}
