package jobs

import (
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
func (q *Queue) scanJob(row interface{ Scan(dest ...any) error }) (Job, error) {
	var j Job
	err := row.Scan(&j.ID, &j.Owner, &j.Service, &j.Status, &j.version, &j.events, &j.Priority, &j.Attempt, &j.MaxAttempts, &j.timeout, &j.Step, &j.Steps, store.JSON(&j.Chain), store.JSON(&j.History),
		store.ScanRawJSON(&j.Output), &j.OutputOmitted, store.JSON(&j.Error), store.JSON(&j.Progress),
		store.JSON(&j.Tags), store.ScanRawJSON(&j.Metadata), &j.CreatedAt, &j.RunAt, &j.StartedAt, &j.FinishedAt,
		&j.ExpiresAt, &j.retain,
		&j.CancelRequested, &j.cancelReason, &j.runID, &j.riverJobID, &j.recoveries,
		&j.requested.url, store.JSON(&j.requested.events), &j.requested.state, &j.requested.sequence, store.JSON(&j.Callback), &j.BaseURL, &j.RetryOf, &j.logLines)
	if err != nil {
		return Job{}, err
	}
	if len(j.Chain) > 0 {
		// A process of the previous release, which does not write step_count, may still submit jobs
		// while this one runs them.
		j.Input, j.Steps = j.Chain[0].Input, len(j.Chain)
	}
	j.Token = Optional(q.Keys.Token(j.ID))
	j.refresh()
	return j, nil
}
