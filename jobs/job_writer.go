package jobs

import (
	"context"
	"fmt"
)

// jobInserter inserts the rows of new jobs.
var jobInserter = newInserter("jobs", "",
	textColumn("id", func(j *Job) any { return j.ID }),
	textColumn("owner", func(j *Job) any { return j.Owner }),
	textColumn("service", func(j *Job) any { return j.Service }),
	textColumn("status", func(j *Job) any { return string(j.Status) }),
	bigintColumn("version", func(j *Job) any { return j.version }),
	bigintColumn("priority", func(j *Job) any { return j.Priority }),
	bigintColumn("max_attempts", func(j *Job) any { return j.MaxAttempts }),
	bigintColumn("timeout", func(j *Job) any { return j.timeout }),
	bigintColumn("step_count", func(j *Job) any { return len(j.Chain) }),
	textColumn("steps", func(j *Job) any { return jsonText(&j.Chain) }),
	textColumn("progress", func(j *Job) any { return jsonText(&j.Progress) }),
	textColumn("tags", func(j *Job) any { return jsonText(&j.Tags) }),
	textColumn("metadata", func(j *Job) any { return rawJSON(j.Metadata) }),
	bigintColumn("created_at", func(j *Job) any { return j.CreatedAt }),
	bigintColumn("run_at", func(j *Job) any { return j.RunAt }),
	bigintColumn("expires_at", func(j *Job) any { return j.ExpiresAt }),
	bigintColumn("retain", func(j *Job) any { return j.retain }),
	bigintColumn("river_job_id", func(j *Job) any { return j.riverJobID }),
	textColumn("callback_url", func(j *Job) any { return j.callback.url }),
	textColumn("callback_events", func(j *Job) any { return jsonText(&j.callback.events) }),
	textColumn("callback_state", func(j *Job) any { return j.callback.state }),
	textColumn("callback", func(j *Job) any { return nullableJSON(j.Callback) }),
	textColumn("base_url", func(j *Job) any { return j.BaseURL }),
	textColumn("retry_of", func(j *Job) any { return string(j.RetryOf) }),
)

// A tagged is a job and one of its tags.
type tagged struct {
	job *Job
	tag string
}

var tagInserter = newInserter("job_tags", "ON CONFLICT DO NOTHING",
	textColumn("owner", func(t tagged) any { return t.job.Owner }),
	textColumn("tag", func(t tagged) any { return t.tag }),
	textColumn("job_id", func(t tagged) any { return t.job.ID }),
)

// insertJobs inserts the rows of new jobs.
func (b *batch) insertJobs(ctx context.Context) error {
	if _, err := jobInserter.write(ctx, b.tx, b.inserts); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	var tags []tagged
	for _, j := range b.inserts {
		for _, tag := range j.Tags {
			tags = append(tags, tagged{j, tag})
		}
	}
	if _, err := tagInserter.write(ctx, b.tx, tags); err != nil {
		return fmt.Errorf("insert tags: %w", err)
	}
	return nil
}

// jobUpdater writes the changeable columns of jobs. The job's previous version and run id are the
// fence: for a run that has lost its job, no row matches. Columns that other statements write too
// (the state of the newest callback, and the time of the cancel request) are written only if they
// change.
var jobUpdater = newWriter(`UPDATE jobs SET status = u.status, version = u.version, events = 0, attempt = u.attempt, step = u.step,
		steps = COALESCE(u.steps, jobs.steps), history = u.history, output = u.output, error = u.error, progress = u.progress, log_lines = u.log_lines,
		run_at = u.run_at, started_at = u.started_at, finished_at = u.finished_at, remove_at = u.remove_at,
		run_id = u.run_id, worker_id = CASE WHEN jobs.run_id = u.run_id THEN jobs.worker_id ELSE u.worker_id END, river_job_id = u.river_job_id, recoveries = u.recoveries,
		callback = COALESCE(u.callback, jobs.callback), callback_sequence = u.callback_sequence,
		cancel_requested_at = COALESCE(jobs.cancel_requested_at, u.cancel_requested_at), cancel_reason = u.cancel_reason
	{from} WHERE jobs.id = u.id AND jobs.version = u.version_before AND COALESCE(jobs.run_id, '') = u.run_id_before`,
	textColumn("id", func(u *update) any { return u.job.ID }),
	bigintColumn("version_before", func(u *update) any { return u.before.version }),
	textColumn("run_id_before", func(u *update) any { return u.before.runID }),
	textColumn("status", func(u *update) any { return string(u.job.Status) }),
	bigintColumn("version", func(u *update) any { return u.job.version }),
	bigintColumn("attempt", func(u *update) any { return u.job.Attempt }),
	bigintColumn("step", func(u *update) any { return u.job.Step }),
	textColumn("steps", func(u *update) any {
		if !u.effects.advanced {
			return nil
		}
		return jsonText(&u.job.Chain)
	}),
	textColumn("history", func(u *update) any { return jsonText(&u.job.History) }),
	textColumn("output", func(u *update) any { return rawJSON(u.job.Output) }),
	textColumn("error", func(u *update) any { return nullableJSON(u.job.Error) }),
	textColumn("progress", func(u *update) any { return jsonText(&u.job.Progress) }),
	bigintColumn("log_lines", func(u *update) any { return u.job.logLines }),
	bigintColumn("run_at", func(u *update) any { return u.job.RunAt }),
	bigintColumn("started_at", func(u *update) any { return u.job.StartedAt }),
	bigintColumn("finished_at", func(u *update) any { return u.job.FinishedAt }),
	bigintColumn("remove_at", func(u *update) any { return u.job.removeAt() }),
	textColumn("run_id", func(u *update) any { return orNull(u.job.runID) }),
	textColumn("worker_id", func(u *update) any { return orNull(u.effects.workerID) }),
	bigintColumn("river_job_id", func(u *update) any { return u.job.riverJobID }),
	bigintColumn("recoveries", func(u *update) any { return u.job.recoveries }),
	textColumn("callback", func(u *update) any {
		if u.job.Callback == u.before.Callback {
			return nil
		}
		return nullableJSON(u.job.Callback)
	}),
	bigintColumn("callback_sequence", func(u *update) any { return u.job.callback.sequence }),
	bigintColumn("cancel_requested_at", func(u *update) any {
		if !u.job.CancelRequested {
			return nil
		}
		return u.now
	}),
	textColumn("cancel_reason", func(u *update) any { return u.job.cancelReason }),
)

// updateJobs writes the new rows of jobs.
func (b *batch) updateJobs(ctx context.Context) error {
	n, err := jobUpdater.write(ctx, b.tx, b.updates)
	if err != nil {
		return fmt.Errorf("update jobs: %w", err)
	}
	if n != int64(len(b.updates)) {
		return errStale
	}
	return nil
}

// orNull returns NULL for an empty string.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
