package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// reapInterval is how often the workers are looked at.
	reapInterval = 250 * time.Millisecond
	// staleAfter is the silence after which a worker's jobs are given to others.
	staleAfter = 5 * time.Second
	// maxPause is the longest time between two looks at the workers. When it
	// was longer, the silence of others may be the database's, or our own.
	maxPause = 2 * time.Second
)

// A reaper finds the workers that are silent. It trusts no clock but the
// monotonic one of its own process: neither clocks of machines that are
// wrong or jump, nor a database that was away, make anybody dead.
type reaper struct {
	mu   sync.Mutex
	last time.Time // of the last look
	seen map[string]sighting
}

// A sighting is a worker's newest heartbeat, and when it may have come.
type sighting struct {
	beat  int64
	since time.Time
}

// forget begins anew: this process could not make itself heard, so perhaps
// nobody could.
func (r *reaper) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = nil
}

// look takes the newest heartbeat of each worker and returns those of the
// workers that were silent for too long.
func (r *reaper) look(now time.Time, beats map[string]int64) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.last // a heartbeat that is new came after the last look
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

// reap strikes the workers whose heart has stopped off the list, and gives
// their jobs to others.
func (q *Queue) reap(ctx context.Context) error {
	beats, err := q.beats(ctx)
	if err != nil {
		return err
	}
	delete(beats, q.workerID) // nobody takes himself for dead
	for id, beat := range q.reaper.look(time.Now(), beats) {
		// Unless it has beaten since.
		res, err := q.db.write.ExecContext(ctx, `DELETE FROM workers WHERE id = $1 AND beat_at = $2`, id, beat)
		if err != nil {
			return fmt.Errorf("strike off worker: %w", err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 1 {
			q.Logger.WarnContext(ctx, "worker is silent: its jobs are given to others", "worker", id, "silent_for", staleAfter.String())
		}
	}
	return q.takeFromDead(ctx)
}

// beats returns the newest heartbeat of each worker.
func (q *Queue) beats(ctx context.Context) (map[string]int64, error) {
	rows, err := q.db.read.QueryContext(ctx, `SELECT id, beat_at FROM workers`)
	if err != nil {
		return nil, fmt.Errorf("look at workers: %w", err)
	}
	defer rows.Close()
	beats := make(map[string]int64)
	for rows.Next() {
		var id string
		var beat int64
		if err := rows.Scan(&id, &beat); err != nil {
			return nil, fmt.Errorf("look at workers: %w", err)
		}
		beats[id] = beat
	}
	return beats, rows.Err()
}

// takeFromDead gives the jobs of workers that are not on the list to others:
// those that they run, and those that they fetched and did not start.
func (q *Queue) takeFromDead(ctx context.Context) error {
	const dead = `%[1]s <> $1 AND %[1]s NOT IN (SELECT id FROM workers)`
	for _, query := range []string{
		`SELECT j.id FROM jobs j WHERE j.status = 'running' AND ` + fmt.Sprintf(dead, "j.worker_id"),
		q.fetched(dead),
	} {
		err := q.settleAll(ctx, q.lostIf(query), query, q.workerID)
		if err != nil {
			return err
		}
	}
	return q.releaseOfDead(ctx)
}

// fetched finds the jobs that wait although a worker's River client has taken
// their River job, in the time between the two, and says who that is.
func (q *Queue) fetched(where string) string {
	return fmt.Sprintf(`SELECT j.id FROM river_job r JOIN jobs j ON j.id = r.args ->> 'job_id' AND j.river_job_id = r.id
		WHERE r.state = 'running' AND r.queue = '%s' AND j.status = 'queued' AND %s`, jobQueue, fmt.Sprintf(where, q.fetcher()))
}

// fetcher is the worker that fetched a River job.
func (q *Queue) fetcher() string {
	if q.db.postgres {
		return `r.attempted_by[array_upper(r.attempted_by, 1)]`
	}
	return `r.attempted_by ->> '$[#-1]'`
}

// lostIf returns a judge that takes the job as lost if query still finds it while
// its row is locked.
func (q *Queue) lostIf(query string) judge {
	return func(ctx context.Context, b *batch, j *Job) (fact, error) {
		var found string
		err := b.tx.QueryRowContext(ctx, query+` AND j.id = $2`, q.workerID, j.ID).Scan(&found)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, refuse(errLost)
		}
		if err != nil {
			return nil, fmt.Errorf("look at worker: %w", err)
		}
		return q.carrierLost(), nil
	}
}
