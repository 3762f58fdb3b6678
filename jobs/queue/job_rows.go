package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	jobHead = `id, owner, service, status, version, events, priority, attempt, max_attempts, timeout, step, step_count, `
	jobTail = `, error, progress, tags, metadata, created_at, run_at, started_at, finished_at, expires_at, retain,
	cancel_requested_at IS NOT NULL, cancel_reason, COALESCE(run_id, ''), river_job_id, recoveries,
	callback_url, callback_events, callback_state, callback_sequence, callback, base_url, retry_of, log_lines, digest`

	// jobColumns are all columns of a job.
	jobColumns = jobHead + `steps, history, output, FALSE, COALESCE(output_file, '')` + jobTail
	// shortColumns omit a large output.
	shortColumns = jobHead + `steps, history, CASE WHEN octet_length(output) <= ` + inline + ` THEN output END, COALESCE(octet_length(output) > ` + inline + `, FALSE), COALESCE(output_file, '')` + jobTail
	// listColumns omit the large columns (inputs, outputs and history), which the database then
	// does not read.
	listColumns = jobHead + `'[]', '[]', NULL, output IS NOT NULL, ''` + jobTail
)

// scanJob reads a row of jobColumns, shortColumns or listColumns.
func (q *Queue) scanJob(row interface{ Scan(dest ...any) error }) (jobs.Job, error) {
	var j jobs.Job
	err := row.Scan(&j.ID, &j.Owner, &j.Service, &j.Status, &j.Version, &j.Events, &j.Priority, &j.Attempt, &j.MaxAttempts, &j.Timeout, &j.Step, &j.Steps, store.JSON(&j.Chain), store.JSON(&j.History),
		store.ScanRawJSON(&j.Output), &j.OutputOmitted, &j.OutputFile, store.JSON(&j.Error), store.JSON(&j.Progress),
		store.JSON(&j.Tags), store.ScanRawJSON(&j.Metadata), &j.CreatedAt, &j.RunAt, &j.StartedAt, &j.FinishedAt,
		&j.ExpiresAt, &j.Retain,
		&j.CancelRequested, &j.CancelReason, &j.RunID, &j.RiverJobID, &j.Recoveries,
		&j.Requested.URL, store.JSON(&j.Requested.Events), &j.Requested.State, &j.Requested.Sequence, store.JSON(&j.Callback), &j.BaseURL, &j.RetryOf, &j.LogLines, &j.Digest)
	if err != nil {
		return jobs.Job{}, err
	}
	if len(j.Chain) > 0 {
		// A process of the previous release, which does not write step_count, may still submit jobs
		// while this one runs them.
		j.Input, j.Uploads, j.Steps = j.Chain[0].Input, j.Chain[0].Uploads, len(j.Chain)
	}
	j.Token = jobs.Optional(q.Keys.Token(j.ID))
	j.Refresh()
	return j, nil
}

// lockRows locks the rows of the changes' jobs. It uses one statement and locks in the order of
// their ids, to prevent deadlocks between processes. If all rows are cached, they need not be
// locked before they are written.
func (b *batch) lockRows(ctx context.Context, changes []*change) error {
	b.rows = make(map[string]jobs.Job, len(changes))
	var ids, others []string
	locks := false
	for _, ch := range changes {
		switch {
		case ch.lock == "":
		case ch.lockOnly:
			others, locks = append(others, ch.lock), true
		case ch.cached != nil:
			b.rows[ch.lock] = *ch.cached
			others = append(others, ch.lock)
		default:
			ids = append(ids, ch.lock)
		}
	}
	slices.Sort(ids)
	if b.q.db.Postgres() {
		if (locks || len(ids) > 0) && len(others) > 0 {
			if _, err := b.tx.ExecContext(ctx,
				`SELECT FROM jobs WHERE id = ANY($1) ORDER BY id FOR UPDATE`, append(others, ids...)); err != nil {
				return fmt.Errorf("lock jobs: %w", err)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return b.readRows(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
	}
	for _, id := range ids {
		if err := b.readRows(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) readRows(ctx context.Context, query string, arg any) error {
	rows, err := b.tx.QueryContext(ctx, query, arg)
	if err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		j, err := b.q.scanJob(rows)
		if err != nil {
			return fmt.Errorf("lock jobs: %w", err)
		}
		b.rows[j.ID] = j
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	return nil
}

// job returns the locked job of the current change.
func (b *batch) job(id string) (jobs.Job, error) {
	j, ok := b.rows[id]
	if !ok {
		return jobs.Job{}, refuse(jobs.ErrNotFound)
	}
	return j, nil
}
