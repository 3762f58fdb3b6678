package jobs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A text is a value kept as JSON text; NULL leaves it alone.
type text[T any] struct{ v *T }

func (t text[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(*t.v)
	return string(b), err
}

func (t text[T]) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(src), t.v)
	case []byte:
		return json.Unmarshal(src, t.v)
	default:
		return fmt.Errorf("text is %T", src)
	}
}

// nullable returns v as JSON text, or NULL when it is nil.
func nullable[T any](v *T) any {
	if v == nil {
		return nil
	}
	return text[T]{v}
}

// raw returns JSON text as it stands, or NULL.
func raw(b json.RawMessage) any {
	if b == nil {
		return nil
	}
	return string(b)
}

type rawScanner struct{ b *json.RawMessage }

func (r rawScanner) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*r.b = nil
	case string:
		*r.b = json.RawMessage(src)
	case []byte:
		*r.b = append(json.RawMessage(nil), src...)
	default:
		return fmt.Errorf("text is %T", src)
	}
	return nil
}

const (
	jobHead = `id, owner, service, status, version, events, priority, attempt, max_attempts, timeout, step, step_count, `
	jobTail = `, error, progress, tags, metadata, created_at, run_at, started_at, finished_at, expires_at, retain,
	cancel_requested_at IS NOT NULL, cancel_reason, COALESCE(run_id, ''), river_job_id, recoveries,
	callback_url, callback_events, callback_state, callback_sequence, callback, base_url, retry_of, log_lines`

	// jobColumns are all columns of a job.
	jobColumns = jobHead + `steps, history, output, FALSE` + jobTail
	// shortColumns leave out an output that is large.
	shortColumns = jobHead + `steps, history, CASE WHEN octet_length(output) <= ` + inline + ` THEN output END, COALESCE(octet_length(output) > ` + inline + `, FALSE)` + jobTail
	// listColumns leave out the large columns, which the database then does not
	// read: inputs, outputs and history.
	listColumns = jobHead + `'[]', '[]', NULL, output IS NOT NULL` + jobTail
)

// scanJob reads a row of jobColumns or listColumns.
func (q *Queue) scanJob(row interface{ Scan(dest ...any) error }) (Job, error) {
	var j Job
	err := row.Scan(&j.ID, &j.Owner, &j.Service, &j.Status, &j.version, &j.events, &j.Priority, &j.Attempt, &j.MaxAttempts, &j.timeout, &j.Step, &j.Steps, text[[]Step]{&j.Chain}, text[[]Attempt]{&j.History},
		rawScanner{&j.Output}, &j.OutputOmitted, text[*Error]{&j.Error}, text[Report]{&j.Progress}, text[[]string]{&j.Tags}, rawScanner{&j.Metadata}, &j.CreatedAt, &j.RunAt, &j.StartedAt, &j.FinishedAt, &j.ExpiresAt, &j.retain,
		&j.CancelRequested, &j.cancelReason, &j.runID, &j.riverJobID, &j.recoveries,
		&j.callback.url, text[[]string]{&j.callback.events}, &j.callback.state, &j.callback.sequence, text[*Callback]{&j.Callback}, &j.BaseURL, &j.RetryOf, &j.logLines)
	if err != nil {
		return Job{}, err
	}
	if len(j.Chain) > 0 {
		// A process of the release before, which knows no step_count, may still
		// submit jobs while this one runs them.
		j.Input, j.Steps = j.Chain[0].Input, len(j.Chain)
	}
	j.Token = Optional(q.Keys.token(j.ID))
	j.refresh()
	return j, nil
}

// refresh sets what follows from other fields.
func (j *Job) refresh() {
	j.Done = j.Status.Done()
	j.LastEventID = j.EventID().String()
	j.CallbackURL = Optional(j.callback.url)
	if j.FinishedAt != nil {
		at := At(j.FinishedAt.Add(time.Duration(j.retain)))
		j.RemovedAt = &at
	}
}

// insertJob writes the row of a new job.
func insertJob(ctx context.Context, tx *sql.Tx, j *Job) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO jobs (id, owner, service, status, version, priority, max_attempts, timeout, step_count, steps, progress,
			tags, metadata, created_at, run_at, expires_at, retain, river_job_id, callback_url, callback_events, callback_state, callback, base_url, retry_of)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)`,
		j.ID, j.Owner, j.Service, string(j.Status), j.version, j.Priority, j.MaxAttempts, j.timeout, len(j.Chain), text[[]Step]{&j.Chain}, text[Report]{&j.Progress},
		text[[]string]{&j.Tags}, raw(j.Metadata), j.CreatedAt, j.RunAt, j.ExpiresAt, j.retain, j.riverJobID,
		j.callback.url, text[[]string]{&j.callback.events}, j.callback.state, nullable(j.Callback), j.BaseURL, string(j.RetryOf))
	if err != nil {
		return fmt.Errorf("insert job: %w", err)
	}
	for _, tag := range j.Tags {
		if _, err := tx.ExecContext(ctx, `INSERT INTO job_tags (owner, tag, job_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, j.Owner, tag, j.ID); err != nil {
			return fmt.Errorf("insert tag: %w", err)
		}
	}
	return nil
}

// lockJob reads a job's row and keeps others from changing it until the
// transaction ends.
func (q *Queue) lockJob(ctx context.Context, tx *sql.Tx, id string) (Job, error) {
	job, err := q.scanJob(tx.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`+q.db.forUpdate(), id))
	if errors.Is(err, sql.ErrNoRows) {
		return job, refuse(ErrNotFound)
	}
	if err != nil {
		return job, fmt.Errorf("read job: %w", err)
	}
	return job, nil
}

// saveJob writes the row of a locked job that was like before. Its event id and
// its run are the fence: a run that has lost its job finds no row.
func saveJob(ctx context.Context, tx *sql.Tx, j, before *Job, workerID string, now Time) error {
	var removeAt any
	if j.FinishedAt != nil {
		removeAt = At(j.FinishedAt.Add(time.Duration(j.retain)))
	}
	res, err := tx.ExecContext(ctx, `UPDATE jobs SET status = $1, version = $2, events = 0, attempt = $3, max_attempts = $4, step = $5, steps = $6, output = $7, error = $8, progress = $9,
			run_at = $10, started_at = $11, finished_at = $12, expires_at = $13, remove_at = $14, run_id = NULLIF($15, ''), worker_id = CASE WHEN run_id = $15 THEN worker_id ELSE NULLIF($16, '') END, river_job_id = $17, recoveries = $18, callback = $19,
			cancel_requested_at = CASE WHEN $20 THEN COALESCE(cancel_requested_at, $27) END, cancel_reason = $28, callback_sequence = $24, history = $25, log_lines = $26
		WHERE id = $21 AND version = $22 AND COALESCE(run_id, '') = $23`,
		string(j.Status), j.version, j.Attempt, j.MaxAttempts, j.Step, text[[]Step]{&j.Chain}, raw(j.Output), nullable(j.Error), text[Report]{&j.Progress},
		j.RunAt, j.StartedAt, j.FinishedAt, j.ExpiresAt, removeAt, j.runID, workerID, j.riverJobID, j.recoveries, nullable(j.Callback),
		j.CancelRequested,
		j.ID, before.version, before.runID, j.callback.sequence, text[[]Attempt]{&j.History}, j.logLines, now, j.cancelReason)
	if err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errLost, err)
	}
	return nil
}
