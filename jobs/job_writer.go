package jobs

import (
	"context"
	"fmt"
)

// jobInserter inserts the rows of new jobs.
var jobInserter = newInserter("jobs", "",
	column[*Job]{"id", "text", func(j *Job) any { return j.ID }},
	column[*Job]{"owner", "text", func(j *Job) any { return j.Owner }},
	column[*Job]{"service", "text", func(j *Job) any { return j.Service }},
	column[*Job]{"status", "text", func(j *Job) any { return string(j.Status) }},
	column[*Job]{"version", "bigint", func(j *Job) any { return j.version }},
	column[*Job]{"priority", "bigint", func(j *Job) any { return j.Priority }},
	column[*Job]{"max_attempts", "bigint", func(j *Job) any { return j.MaxAttempts }},
	column[*Job]{"timeout", "bigint", func(j *Job) any { return j.timeout }},
	column[*Job]{"step_count", "bigint", func(j *Job) any { return len(j.Chain) }},
	column[*Job]{"steps", "text", func(j *Job) any { return text[[]Step]{&j.Chain} }},
	column[*Job]{"progress", "text", func(j *Job) any { return text[Report]{&j.Progress} }},
	column[*Job]{"tags", "text", func(j *Job) any { return text[[]string]{&j.Tags} }},
	column[*Job]{"metadata", "text", func(j *Job) any { return raw(j.Metadata) }},
	column[*Job]{"created_at", "bigint", func(j *Job) any { return j.CreatedAt }},
	column[*Job]{"run_at", "bigint", func(j *Job) any { return j.RunAt }},
	column[*Job]{"expires_at", "bigint", func(j *Job) any { return j.ExpiresAt }},
	column[*Job]{"retain", "bigint", func(j *Job) any { return j.retain }},
	column[*Job]{"river_job_id", "bigint", func(j *Job) any { return j.riverJobID }},
	column[*Job]{"callback_url", "text", func(j *Job) any { return j.callback.url }},
	column[*Job]{"callback_events", "text", func(j *Job) any { return text[[]string]{&j.callback.events} }},
	column[*Job]{"callback_state", "text", func(j *Job) any { return j.callback.state }},
	column[*Job]{"callback", "text", func(j *Job) any { return nullable(j.Callback) }},
	column[*Job]{"base_url", "text", func(j *Job) any { return j.BaseURL }},
	column[*Job]{"retry_of", "text", func(j *Job) any { return string(j.RetryOf) }},
)

// A tagged is a job and one of its tags.
type tagged struct {
	job *Job
	tag string
}

var tagInserter = newInserter("job_tags", "ON CONFLICT DO NOTHING",
	column[tagged]{"owner", "text", func(t tagged) any { return t.job.Owner }},
	column[tagged]{"tag", "text", func(t tagged) any { return t.tag }},
	column[tagged]{"job_id", "text", func(t tagged) any { return t.job.ID }},
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
	column[*update]{"id", "text", func(u *update) any { return u.job.ID }},
	column[*update]{"version_before", "bigint", func(u *update) any { return u.before.version }},
	column[*update]{"run_id_before", "text", func(u *update) any { return u.before.runID }},
	column[*update]{"status", "text", func(u *update) any { return string(u.job.Status) }},
	column[*update]{"version", "bigint", func(u *update) any { return u.job.version }},
	column[*update]{"attempt", "bigint", func(u *update) any { return u.job.Attempt }},
	column[*update]{"step", "bigint", func(u *update) any { return u.job.Step }},
	column[*update]{"steps", "text", func(u *update) any {
		if !u.effects.advanced {
			return nil
		}
		return text[[]Step]{&u.job.Chain}
	}},
	column[*update]{"history", "text", func(u *update) any { return text[[]Attempt]{&u.job.History} }},
	column[*update]{"output", "text", func(u *update) any { return raw(u.job.Output) }},
	column[*update]{"error", "text", func(u *update) any { return nullable(u.job.Error) }},
	column[*update]{"progress", "text", func(u *update) any { return text[Report]{&u.job.Progress} }},
	column[*update]{"log_lines", "bigint", func(u *update) any { return u.job.logLines }},
	column[*update]{"run_at", "bigint", func(u *update) any { return u.job.RunAt }},
	column[*update]{"started_at", "bigint", func(u *update) any { return u.job.StartedAt }},
	column[*update]{"finished_at", "bigint", func(u *update) any { return u.job.FinishedAt }},
	column[*update]{"remove_at", "bigint", func(u *update) any { return u.job.removeAt() }},
	column[*update]{"run_id", "text", func(u *update) any { return orNull(u.job.runID) }},
	column[*update]{"worker_id", "text", func(u *update) any { return orNull(u.effects.workerID) }},
	column[*update]{"river_job_id", "bigint", func(u *update) any { return u.job.riverJobID }},
	column[*update]{"recoveries", "bigint", func(u *update) any { return u.job.recoveries }},
	column[*update]{"callback", "text", func(u *update) any {
		if u.job.Callback == u.before.Callback {
			return nil
		}
		return nullable(u.job.Callback)
	}},
	column[*update]{"callback_sequence", "bigint", func(u *update) any { return u.job.callback.sequence }},
	column[*update]{"cancel_requested_at", "bigint", func(u *update) any {
		if !u.job.CancelRequested {
			return nil
		}
		return u.now
	}},
	column[*update]{"cancel_reason", "text", func(u *update) any { return u.job.cancelReason }},
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
