package queue

import (
	"context"
	"fmt"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// jobInserter inserts the rows of new jobs.
var jobInserter = store.NewInserter("jobs", "",
	store.TextColumn("id", func(j *jobs.Job) any { return j.ID }),
	store.TextColumn("owner", func(j *jobs.Job) any { return j.Owner }),
	store.TextColumn("service", func(j *jobs.Job) any { return j.Service }),
	store.TextColumn("status", func(j *jobs.Job) any { return string(j.Status) }),
	store.BigintColumn("version", func(j *jobs.Job) any { return j.Version }),
	store.BigintColumn("priority", func(j *jobs.Job) any { return j.Priority }),
	store.BigintColumn("max_attempts", func(j *jobs.Job) any { return j.MaxAttempts }),
	store.BigintColumn("timeout", func(j *jobs.Job) any { return j.Timeout }),
	store.BigintColumn("step_count", func(j *jobs.Job) any { return len(j.Chain) }),
	store.TextColumn("steps", func(j *jobs.Job) any { return store.JSON(&j.Chain) }),
	store.TextColumn("progress", func(j *jobs.Job) any { return store.JSON(&j.Progress) }),
	store.TextColumn("tags", func(j *jobs.Job) any { return store.JSON(&j.Tags) }),
	store.TextColumn("metadata", func(j *jobs.Job) any { return store.RawJSON(j.Metadata) }),
	store.BigintColumn("created_at", func(j *jobs.Job) any { return j.CreatedAt }),
	store.BigintColumn("run_at", func(j *jobs.Job) any { return j.RunAt }),
	store.BigintColumn("expires_at", func(j *jobs.Job) any { return j.ExpiresAt }),
	store.BigintColumn("retain", func(j *jobs.Job) any { return j.Retain }),
	store.BigintColumn("river_job_id", func(j *jobs.Job) any { return j.RiverJobID }),
	store.TextColumn("callback_url", func(j *jobs.Job) any { return j.Requested.URL }),
	store.TextColumn("callback_events", func(j *jobs.Job) any { return store.JSON(&j.Requested.Events) }),
	store.TextColumn("callback_state", func(j *jobs.Job) any { return j.Requested.State }),
	store.TextColumn("callback", func(j *jobs.Job) any { return store.NullableJSON(j.Callback) }),
	store.TextColumn("base_url", func(j *jobs.Job) any { return j.BaseURL }),
	store.TextColumn("retry_of", func(j *jobs.Job) any { return string(j.RetryOf) }),
	store.TextColumn("digest", func(j *jobs.Job) any { return j.Digest }),
)

// A tagged is a job and one of its tags.
type tagged struct {
	job *jobs.Job
	tag string
}

var tagInserter = store.NewInserter("job_tags", "ON CONFLICT DO NOTHING",
	store.TextColumn("owner", func(t tagged) any { return t.job.Owner }),
	store.TextColumn("tag", func(t tagged) any { return t.tag }),
	store.TextColumn("job_id", func(t tagged) any { return t.job.ID }),
)

// insertJobs inserts the rows of new jobs.
func (b *batch) insertJobs(ctx context.Context) error {
	if _, err := jobInserter.Write(ctx, b.tx, b.inserts); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	var tags []tagged
	for _, j := range b.inserts {
		for _, tag := range j.Tags {
			tags = append(tags, tagged{j, tag})
		}
	}
	if _, err := tagInserter.Write(ctx, b.tx, tags); err != nil {
		return fmt.Errorf("insert tags: %w", err)
	}
	return nil
}

// jobUpdater writes the changeable columns of jobs. The job's previous version and run id are the
// fence: for a run that has lost its job, no row matches. Columns that other statements write too
// (the state of the newest callback, and the time of the cancel request) are written only if they
// change.
var jobUpdater = store.NewWriter(`UPDATE jobs SET status = u.status, version = u.version, events = 0, attempt = u.attempt, step = u.step, max_attempts = COALESCE(u.max_attempts, jobs.max_attempts), timeout = COALESCE(u.timeout, jobs.timeout),
		steps = COALESCE(u.steps, jobs.steps), history = u.history, output = u.output, output_file = u.output_file, error = u.error, progress = u.progress, log_lines = u.log_lines,
		run_at = u.run_at, started_at = u.started_at, finished_at = u.finished_at, remove_at = u.remove_at,
		run_id = u.run_id, worker_id = CASE WHEN jobs.run_id = u.run_id THEN jobs.worker_id ELSE u.worker_id END, river_job_id = u.river_job_id, recoveries = u.recoveries,
		callback = COALESCE(u.callback, jobs.callback), callback_sequence = u.callback_sequence,
		cancel_requested_at = COALESCE(jobs.cancel_requested_at, u.cancel_requested_at), cancel_reason = u.cancel_reason
	{from} WHERE jobs.id = u.id AND jobs.version = u.version_before AND COALESCE(jobs.run_id, '') = u.run_id_before`,
	store.TextColumn("id", func(u *update) any { return u.job.ID }),
	store.BigintColumn("version_before", func(u *update) any { return u.before.Version }),
	store.TextColumn("run_id_before", func(u *update) any { return u.before.RunID }),
	store.TextColumn("status", func(u *update) any { return string(u.job.Status) }),
	store.BigintColumn("version", func(u *update) any { return u.job.Version }),
	store.BigintColumn("attempt", func(u *update) any { return u.job.Attempt }),
	store.BigintColumn("step", func(u *update) any { return u.job.Step }),
	store.BigintColumn("max_attempts", func(u *update) any {
		if !u.effects.Advanced {
			return nil
		}
		return u.job.MaxAttempts
	}),
	store.BigintColumn("timeout", func(u *update) any {
		if !u.effects.Advanced {
			return nil
		}
		return u.job.Timeout
	}),
	store.TextColumn("steps", func(u *update) any {
		if !u.effects.Advanced {
			return nil
		}
		return store.JSON(&u.job.Chain)
	}),
	store.TextColumn("history", func(u *update) any { return store.JSON(&u.job.History) }),
	store.TextColumn("output", func(u *update) any { return store.RawJSON(u.job.Output) }),
	store.TextColumn("output_file", func(u *update) any { return orNull(u.job.OutputFile) }),
	store.TextColumn("error", func(u *update) any { return store.NullableJSON(u.job.Error) }),
	store.TextColumn("progress", func(u *update) any { return store.JSON(&u.job.Progress) }),
	store.BigintColumn("log_lines", func(u *update) any { return u.job.LogLines }),
	store.BigintColumn("run_at", func(u *update) any { return u.job.RunAt }),
	store.BigintColumn("started_at", func(u *update) any { return u.job.StartedAt }),
	store.BigintColumn("finished_at", func(u *update) any { return u.job.FinishedAt }),
	store.BigintColumn("remove_at", func(u *update) any { return u.job.RemoveAt() }),
	store.TextColumn("run_id", func(u *update) any { return orNull(u.job.RunID) }),
	store.TextColumn("worker_id", func(u *update) any { return orNull(u.effects.WorkerID) }),
	store.BigintColumn("river_job_id", func(u *update) any { return u.job.RiverJobID }),
	store.BigintColumn("recoveries", func(u *update) any { return u.job.Recoveries }),
	store.TextColumn("callback", func(u *update) any {
		if u.job.Callback == u.before.Callback {
			return nil
		}
		return store.NullableJSON(u.job.Callback)
	}),
	store.BigintColumn("callback_sequence", func(u *update) any { return u.job.Requested.Sequence }),
	store.BigintColumn("cancel_requested_at", func(u *update) any {
		if !u.job.CancelRequested {
			return nil
		}
		return u.now
	}),
	store.TextColumn("cancel_reason", func(u *update) any { return u.job.CancelReason }),
)

// updateJobs writes the new rows of jobs.
func (b *batch) updateJobs(ctx context.Context) error {
	n, err := jobUpdater.Write(ctx, b.tx, b.updates)
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
