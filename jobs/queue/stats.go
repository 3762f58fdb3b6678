package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// Stats are the statistics of a queue for operators.
type Stats struct {
	Depth map[jobs.Status]int64
	// Oldest is when the longest-waiting queued job became due; nil if none waits.
	Oldest *store.Time
	// Callbacks is the number of pending deliveries.
	Callbacks int64
	Minutes   []Minute // the last hour, oldest first
	Services  []ServiceStats
	Workers   []WorkerStats
	Database  store.Stats
}

// A Minute contains the number of jobs that ended in a minute.
type Minute struct {
	At                time.Time
	Succeeded, Failed int64 // Failed includes canceled and expired
}

// ServiceStats contain the queue time (Wait) and duration (Run) of a service's newest jobs in the
// last hour.
type ServiceStats struct {
	Service   string
	Jobs      int
	Wait, Run Percentiles
}

// Percentiles are the 50th, 95th and 99th percentiles.
type Percentiles [3]time.Duration

// WorkerStats describe a process that runs jobs.
type WorkerStats struct {
	ID, Host             string
	PID                  int    // process id; 0 if unknown
	Version              string // of the program; "" if unknown
	Concurrency, Running int
	StartedAt, BeatAt    store.Time
	// Stale reports whether the worker's heartbeat is stale: its jobs are given to others.
	Stale bool
}

// lowestPriority is the numerically largest priority. Priorities begin with 1.
const lowestPriority = 4

// maxSample is the maximum number of jobs from which percentiles are computed.
const maxSample = 5000

// Stats returns the current statistics.
func (q *Queue) Stats(ctx context.Context) (s Stats, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	if s.Depth, err = q.Depth(ctx); err != nil {
		return s, err
	}
	if s.Oldest, err = q.oldest(ctx); err != nil {
		return s, err
	}
	if s.Callbacks, err = q.pendingDeliveries(ctx); err != nil {
		return s, err
	}
	now := time.Now()
	if s.Minutes, err = q.minutes(ctx, now); err != nil {
		return s, err
	}
	if s.Services, err = q.serviceStats(ctx, now); err != nil {
		return s, err
	}
	if s.Workers, err = q.workerStats(ctx); err != nil {
		return s, err
	}
	s.Database, err = q.db.Stats(ctx)
	return s, err
}

// oldest returns when the longest-waiting queued job became due; nil if none waits. It considers
// the job of each priority that River would run next, and the queued job with the lowest id. The
// latter may differ from them: it may have been delayed and have waited for less time. Scanning all
// jobs would take seconds if many are queued.
func (q *Queue) oldest(ctx context.Context) (due *store.Time, err error) {
	heads := []string{`SELECT id FROM (SELECT id FROM jobs WHERE status = 'queued' ORDER BY id LIMIT 1) first`}
	for _, queue := range slices.Sorted(maps.Keys(q.riverQueues())) {
		for priority := 1; priority <= lowestPriority; priority++ {
			heads = append(heads, fmt.Sprintf(`SELECT id FROM (SELECT args ->> 'job_id' AS id FROM river_job WHERE state = 'available' AND queue = '%s' AND priority = %d
				ORDER BY scheduled_at, id LIMIT 1) head%d`, queue, priority, len(heads)))
		}
	}
	if err := q.db.Read.QueryRowContext(ctx, `SELECT min(COALESCE(run_at, created_at)) FROM jobs WHERE status = 'queued' AND id IN (`+strings.Join(heads, " UNION ALL ")+`)`).Scan(&due); err != nil {
		return nil, fmt.Errorf("read the oldest job: %w", err)
	}
	return due, nil
}

func (q *Queue) pendingDeliveries(ctx context.Context) (n int64, err error) {
	if err := q.db.Read.QueryRowContext(ctx,
		`SELECT count(*) FROM deliveries WHERE status = 'pending'`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	return n, nil
}

// minutes counts the jobs that ended in each minute of the last hour.
func (q *Queue) minutes(ctx context.Context, now time.Time) ([]Minute, error) {
	first := now.Truncate(time.Minute).Add(-59 * time.Minute)
	minutes := make([]Minute, 60)
	for i := range minutes {
		minutes[i].At = first.Add(time.Duration(i) * time.Minute)
	}
	rows, err := q.db.Read.QueryContext(ctx, `SELECT (finished_at - $1) / 60000, status = 'succeeded', count(*) FROM jobs WHERE finished_at >= $1 GROUP BY 1, 2`, store.At(first))
	if err != nil {
		return nil, fmt.Errorf("count finished jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i int
		var succeeded bool
		var n int64
		if err := rows.Scan(&i, &succeeded, &n); err != nil {
			return nil, fmt.Errorf("count finished jobs: %w", err)
		}
		switch minute := &minutes[min(i, len(minutes)-1)]; {
		case succeeded:
			minute.Succeeded += n
		default:
			minute.Failed += n
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count finished jobs: %w", err)
	}
	return minutes, nil
}

// serviceStats computes percentiles over the newest jobs of the last hour.
func (q *Queue) serviceStats(ctx context.Context, now time.Time) ([]ServiceStats, error) {
	rows, err := q.db.Read.QueryContext(ctx, fmt.Sprintf(`SELECT service, created_at, run_at, started_at, finished_at FROM jobs
		WHERE finished_at >= $1 AND started_at IS NOT NULL ORDER BY finished_at DESC LIMIT %d`, maxSample), store.At(now.Add(-time.Hour)))
	if err != nil {
		return nil, fmt.Errorf("read finished jobs: %w", err)
	}
	defer rows.Close()
	waits, runs := make(map[string][]time.Duration), make(map[string][]time.Duration)
	for rows.Next() {
		var service string
		var due, started, finished store.Time
		var runAt *store.Time
		if err := rows.Scan(&service, &due, &runAt, &started, &finished); err != nil {
			return nil, fmt.Errorf("read finished jobs: %w", err)
		}
		if runAt != nil && !runAt.After(started.Time) { // otherwise it belongs to a later attempt
			due = *runAt
		}
		waits[service] = append(waits[service], started.Sub(due.Time))
		runs[service] = append(runs[service], finished.Sub(started.Time))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read finished jobs: %w", err)
	}
	var stats []ServiceStats
	for _, service := range slices.Sorted(maps.Keys(waits)) {
		stats = append(stats,
			ServiceStats{service, len(waits[service]), percentiles(waits[service]), percentiles(runs[service])})
	}
	return stats, nil
}

// percentiles returns the percentiles of at least one duration. It sorts d.
func percentiles(d []time.Duration) Percentiles {
	slices.Sort(d)
	at := func(percent int) time.Duration { return d[(len(d)*percent+99)/100-1] }
	return Percentiles{at(50), at(95), at(99)}
}

func (q *Queue) workerStats(ctx context.Context) ([]WorkerStats, error) {
	rows, err := q.db.Read.QueryContext(ctx, `SELECT id, host, pid, version, concurrency, started_at, beat_at, beat_at < `+q.db.Now()+` - $1,
		(SELECT count(*) FROM jobs WHERE status = 'running' AND worker_id = workers.id) FROM workers ORDER BY started_at, id`, staleAfter.Milliseconds())
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	defer rows.Close()
	var workers []WorkerStats
	for rows.Next() {
		var w WorkerStats
		if err := rows.Scan(&w.ID, &w.Host, &w.PID, &w.Version, &w.Concurrency, &w.StartedAt, &w.BeatAt, &w.Stale,
			&w.Running); err != nil {
			return nil, fmt.Errorf("read workers: %w", err)
		}
		// A process with SQLite writes no heartbeat, because no other process could check it. It is
		// alive if it responds here.
		if !q.db.Postgres() {
			w.BeatAt, w.Stale = store.At(time.Now()), false
		}
		workers = append(workers, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return workers, nil
}
