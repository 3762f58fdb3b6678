package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// Get returns a job. It omits an output of more than 64 KiB and sets OutputOmitted instead;
// [Queue.Output] returns that output. Errors: [jobs.ErrNotFound], [jobs.ErrRemoved].
func (q *Queue) Get(ctx context.Context, id string) (jobs.Job, error) {
	if !keys.ValidID("job_", id) {
		return jobs.Job{}, jobs.ErrNotFound
	}
	ctx, cancel := q.db.Brief(ctx)
	defer cancel()
	if v := q.views.get(id); v != nil {
		s, err := q.state(ctx, id)
		if err == nil && s == v.state {
			return v.job, nil
		}
		q.views.evict(id)
	}
	job, err := q.scanJob(q.db.Keyed.QueryRowContext(ctx, `SELECT `+shortColumns+` FROM jobs WHERE id = $1`, id))
	if err == nil {
		return q.views.put(job), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return jobs.Job{}, fmt.Errorf("read job: %w", err)
	}
	err = q.db.Keyed.QueryRowContext(ctx, `SELECT owner FROM removed_jobs WHERE id = $1`, id).Scan(&job.Owner)
	switch {
	case err == nil:
		job.ID = id
		return job, jobs.ErrRemoved
	case errors.Is(err, sql.ErrNoRows):
		return jobs.Job{}, jobs.ErrNotFound
	default:
		return jobs.Job{}, fmt.Errorf("read removed job: %w", err)
	}
}

// Output returns the output of a job as JSON; nil if it has none. Error: [jobs.ErrNotFound].
func (q *Queue) Output(ctx context.Context, id string) (output json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	err = q.db.Keyed.QueryRowContext(ctx, `SELECT output FROM jobs WHERE id = $1`, id).Scan(store.ScanRawJSON(&output))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, jobs.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read output: %w", err)
	}
	return output, nil
}

// List returns the newest jobs that match the filter, newest first. It does not read inputs,
// outputs and history. OutputOmitted is set for jobs that have an output.
func (q *Queue) List(ctx context.Context, f Filter) ([]jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	f, err := q.bounded(ctx, f)
	if err != nil {
		return nil, err
	}
	query, args := f.query()
	return q.list(ctx, query, args)
}

// list returns the jobs that a query for listColumns finds.
func (q *Queue) list(ctx context.Context, query string, args []any) ([]jobs.Job, error) {
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	defer rows.Close()
	var jobs []jobs.Job
	for rows.Next() {
		job, err := q.scanJob(rows)
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		jobs = append(jobs, job)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

// Depth returns the number of unfinished jobs by status.
func (q *Queue) Depth(ctx context.Context) (map[jobs.Status]int64, error) {
	rows, err := q.db.Read.QueryContext(ctx, `SELECT status, count(*) FROM jobs WHERE status IN ('scheduled', 'queued', 'running', 'retrying') GROUP BY status`)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	depth := map[jobs.Status]int64{jobs.Scheduled: 0, jobs.Queued: 0, jobs.Running: 0, jobs.Retrying: 0}
	for rows.Next() {
		var status jobs.Status
		var n int64
		if err := rows.Scan(&status, &n); err != nil {
			return nil, fmt.Errorf("count jobs: %w", err)
		}
		depth[status] = n
	}
	return depth, rows.Err()
}

// Viewers are the event streams that are open in this process.
type Viewers interface {
	// Watched returns the ids of the jobs that have a viewer.
	Watched() []string
	// Behind reports the newest event id of a job, so that viewers that have missed events can
	// catch up.
	Behind(job string, newest notify.ID)
	// Degraded reports whether events may be getting lost.
	Degraded() bool
}

const (
	// auditInterval is how often the viewers' positions are compared with the table, so that a
	// stream ends correctly even if its last event was lost. degradedInterval replaces it while
	// events may be getting lost.
	auditInterval    = 15 * time.Second
	degradedInterval = 2 * time.Second
	auditBatch       = 500
)

// audit reports the newest event id of each watched job, as stored in the table, to the viewers.
func (q *Queue) audit(ctx context.Context) error {
	interval := auditInterval
	if q.Viewers.Degraded() {
		interval = degradedInterval
	}
	if time.Since(q.audited) < interval {
		return nil
	}
	q.audited = time.Now()
	watched := q.Viewers.Watched()
	for len(watched) > 0 {
		batch := watched[:min(auditBatch, len(watched))]
		watched = watched[len(batch):]
		if err := q.auditBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) auditBatch(ctx context.Context, ids []string) error {
	marks, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, version, events FROM jobs WHERE id IN (`+strings.Join(marks, ", ")+`)`, args...)
	if err != nil {
		return fmt.Errorf("audit watched jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var newest notify.ID
		if err := rows.Scan(&id, &newest.Version, &newest.N); err != nil {
			return fmt.Errorf("audit watched jobs: %w", err)
		}
		q.Viewers.Behind(id, newest)
	}
	return rows.Err()
}
