package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"coatcheck/jobs"
)

const (
	// reapInterval is how often the heartbeats of the workers are checked.
	reapInterval = 250 * time.Millisecond
	// staleAfter is the age of a heartbeat after which a worker is considered dead.
	staleAfter = 5 * time.Second
	// maxPause is the longest valid time between two checks of the heartbeats. After a longer
	// pause, heartbeats may be stale because of the database or this process.
	maxPause = 2 * time.Second
)

// A reaper detects workers whose heartbeat is stale. It relies only on the monotonic clock of its
// own process, so that neither a wrong or changed clock of a machine nor an outage of the database
// makes a worker appear dead.
type reaper struct {
	mu   sync.Mutex // guards the fields below
	last time.Time  // time of the last check
	seen map[string]sighting
}

// A sighting is a worker's newest heartbeat, and the earliest time at which it may have been
// written.
type sighting struct {
	beat  int64
	since time.Time
}

// reset discards all sightings. It is called when this process could not write its own heartbeat:
// perhaps no worker could.
func (r *reaper) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

// stale takes the newest heartbeat of each worker and returns those that are stale.
func (r *reaper) stale(now time.Time, beats map[string]int64) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.last // a new heartbeat was written after the last check
	if now.Sub(r.last) > maxPause || r.seen == nil {
		r.seen, since = nil, now
	}
	seen, silent := make(map[string]sighting, len(beats)), make(map[string]int64)
	for id, beat := range beats {
		s, ok := r.seen[id]
		switch {
		case !ok:
			s = sighting{beat, now}
		case s.beat != beat:
			s = sighting{beat, since}
		case now.Sub(s.since) >= staleAfter:
			silent[id] = beat
		}
		seen[id] = s
	}
	r.last, r.seen = now, seen
	return silent
}

// reap deletes workers whose heartbeat is stale, and gives their jobs to others.
func (q *Queue) reap(ctx context.Context) error {
	beats, err := q.heartbeats(ctx)
	if err != nil {
		return err
	}
	delete(beats, q.workerID) // a worker never considers itself dead
	for id, beat := range q.reaper.stale(time.Now(), beats) {
		// Unless a new heartbeat arrived meanwhile.
		res, err := q.db.Write.ExecContext(ctx, `DELETE FROM workers WHERE id = $1 AND beat_at = $2`, id, beat)
		if err != nil {
			return fmt.Errorf("delete worker: %w", err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			q.Logger.WarnContext(ctx, "worker heartbeat is stale: its jobs are given to others",
				"worker", id, "stale_after", staleAfter.String())
		}
	}
	return q.recoverFromDead(ctx)
}

// heartbeats returns the newest heartbeat of each worker.
func (q *Queue) heartbeats(ctx context.Context) (map[string]int64, error) {
	rows, err := q.db.Read.QueryContext(ctx, `SELECT id, beat_at FROM workers`)
	if err != nil {
		return nil, fmt.Errorf("read heartbeats: %w", err)
	}
	defer rows.Close()
	beats := make(map[string]int64)
	for rows.Next() {
		var id string
		var beat int64
		if err := rows.Scan(&id, &beat); err != nil {
			return nil, fmt.Errorf("read heartbeats: %w", err)
		}
		beats[id] = beat
	}
	return beats, rows.Err()
}

// recoverFromDead gives the jobs of dead workers to others: the running ones, and those that were
// fetched but not started.
func (q *Queue) recoverFromDead(ctx context.Context) error {
	const dead = `%[1]s <> $1 AND %[1]s NOT IN (SELECT id FROM workers)`
	for _, query := range []string{
		`SELECT j.id FROM jobs j WHERE j.status = 'running' AND ` + fmt.Sprintf(dead, "j.worker_id"),
		q.fetched(dead),
	} {
		err := q.transitAll(ctx, q.lostIf(query), query, q.workerID)
		if err != nil {
			return err
		}
	}
	return q.releaseDeadClaims(ctx)
}

// fetched returns a query for queued jobs whose River job a worker has fetched but not started. In
// the condition where, %s is the worker.
func (q *Queue) fetched(where string) string {
	return `SELECT j.id FROM river_job r JOIN jobs j ON j.id = r.args ->> 'job_id' AND j.river_job_id = r.id
		WHERE r.state = 'running' AND j.status = 'queued' AND ` + fmt.Sprintf(where, q.fetcher())
}

// fetcher returns the SQL expression for the worker that fetched a River job.
func (q *Queue) fetcher() string {
	if q.db.Postgres() {
		return `r.attempted_by[array_upper(r.attempted_by, 1)]`
	}
	return `r.attempted_by ->> '$[#-1]'`
}

// lostIf returns a decider that considers the job lost if query still finds it while its row is
// locked.
func (q *Queue) lostIf(query string) decider {
	return func(ctx context.Context, b *batch, j *jobs.Job) (jobs.Trigger, error) {
		var found string
		err := b.tx.QueryRowContext(ctx, query+` AND j.id = $2`, q.workerID, j.ID).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, refuse(jobs.ErrLost)
		}
		if err != nil {
			return nil, fmt.Errorf("check worker: %w", err)
		}
		return q.executionLost(), nil
	}
}
