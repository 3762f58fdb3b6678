package queue

import (
	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	jobHead = `id, owner, service, status, version, events, priority, attempt, max_attempts, timeout, step, step_count, `
	jobTail = `, error, progress, tags, metadata, created_at, run_at, started_at, finished_at, expires_at, retain,
	cancel_requested_at IS NOT NULL, cancel_reason, COALESCE(run_id, ''), river_job_id, recoveries,
	callback_url, callback_events, callback_state, callback_sequence, callback, base_url, retry_of, log_lines`

	// jobColumns are all columns of a job.
	jobColumns = jobHead + `steps, history, output, FALSE` + jobTail
	// shortColumns omit a large output.
	shortColumns = jobHead + `steps, history, CASE WHEN octet_length(output) <= ` + inline + ` THEN output END, COALESCE(octet_length(output) > ` + inline + `, FALSE)` + jobTail
	// listColumns omit the large columns (inputs, outputs and history), which the database then
	// does not read.
	listColumns = jobHead + `'[]', '[]', NULL, output IS NOT NULL` + jobTail
)

// scanJob reads a row of jobColumns, shortColumns or listColumns.
func (q *Queue) scanJob(row interface{ Scan(dest ...any) error }) (jobs.Job, error) {
	var j jobs.Job
	err := row.Scan(&j.ID, &j.Owner, &j.Service, &j.Status, &j.Version, &j.Events, &j.Priority, &j.Attempt, &j.MaxAttempts, &j.Timeout, &j.Step, &j.Steps, store.JSON(&j.Chain), store.JSON(&j.History),
		store.ScanRawJSON(&j.Output), &j.OutputOmitted, store.JSON(&j.Error), store.JSON(&j.Progress),
		store.JSON(&j.Tags), store.ScanRawJSON(&j.Metadata), &j.CreatedAt, &j.RunAt, &j.StartedAt, &j.FinishedAt,
		&j.ExpiresAt, &j.Retain,
		&j.CancelRequested, &j.CancelReason, &j.RunID, &j.RiverJobID, &j.Recoveries,
		&j.Requested.URL, store.JSON(&j.Requested.Events), &j.Requested.State, &j.Requested.Sequence, store.JSON(&j.Callback), &j.BaseURL, &j.RetryOf, &j.LogLines)
	if err != nil {
		return jobs.Job{}, err
	}
	if len(j.Chain) > 0 {
		// A process of the previous release, which does not write step_count, may still submit jobs
		// while this one runs them.
		j.Input, j.Steps = j.Chain[0].Input, len(j.Chain)
	}
	j.Token = jobs.Optional(q.Keys.Token(j.ID))
	j.Refresh()
	return j, nil
}
