package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// An outcome is the result of an attempt at a delivery.
type outcome struct {
	*attempt
	at         store.Time // when the attempt began
	result     notify.Result
	summary    jobs.Callback // shown in the job
	finishedAt *store.Time   // nil if there will be another attempt
	workerID   string
	// stored reports whether this process still held the claim. If not (the process was considered
	// dead, or the delivery was redelivered), the outcome does not change the delivery; it only
	// appears in the log of attempts.
	stored bool
}

// evaluate returns the outcome of an attempt.
func (q *Queue) evaluate(v *attempt, at store.Time, result notify.Result, now store.Time) *outcome {
	o := &outcome{
		attempt: v, at: at, result: result, workerID: q.workerID,
		summary: jobs.Callback{URL: v.url, Status: failed, Attempts: v.attempts},
	}
	if result.Class != notify.Local {
		o.summary.Attempts++
	}
	if result.StatusCode != 0 {
		o.summary.LastStatusCode = &result.StatusCode
	}
	delay, again := q.Schedule.Next(o.summary.Attempts-v.scheduledFrom, result)
	again = again && (v.event != CallbackTest && v.event != jobs.JobProgress || result.Class == notify.Local)
	switch {
	case result.Class == notify.Delivered:
		o.summary.Status, o.finishedAt = delivered, &now
	case again:
		o.summary.Status, o.summary.NextAttemptAt = pending, new(store.At(now.Add(delay)))
	default:
		o.finishedAt = &now
	}
	return o
}

// record stores an outcome.
func (q *Queue) record(ctx context.Context, o *outcome) error {
	err := q.committer.commit(ctx, &change{names: []string{o.jobID, o.id}, lock: o.jobID, lockOnly: true, apply: func(_ context.Context, b *batch) error {
		o.stored = false // the change may be applied more than once
		b.outcomes = append(b.outcomes, o)
		return nil
	}})
	if err == nil && o.stored {
		q.metrics.attempted(o.event, o.summary.Status, o.result)
	}
	return err
}

// outcomeUpdater stores outcomes. The fence of an outcome is the delivery's claim, which only a
// pending delivery has. COALESCE keeps PostgreSQL from using the index on claimed_by, which matches
// all claims of this process. With a condition on the status, PostgreSQL would read all pending
// deliveries.
var outcomeUpdater = store.NewWriter(`UPDATE deliveries SET status = u.status, attempts = u.attempts, last_status_code = u.last_status_code, last_error = u.last_error,
		next_attempt_at = u.next_attempt_at, finished_at = u.finished_at, claimed_by = NULL, tried = 1
	{from} WHERE deliveries.id = u.id AND COALESCE(deliveries.claimed_by, '') = u.worker_id AND deliveries.claims = u.claim RETURNING deliveries.id`,
	store.TextColumn("id", func(o *outcome) any { return o.id }),
	store.TextColumn("worker_id", func(o *outcome) any { return o.workerID }),
	store.BigintColumn("claim", func(o *outcome) any { return o.claim }),
	store.TextColumn("status", func(o *outcome) any { return o.summary.Status }),
	store.BigintColumn("attempts", func(o *outcome) any { return o.summary.Attempts }),
	store.BigintColumn("last_status_code", func(o *outcome) any { return o.summary.LastStatusCode }),
	store.TextColumn("last_error", func(o *outcome) any { return o.result.Message }),
	store.BigintColumn("next_attempt_at", func(o *outcome) any { return o.summary.NextAttemptAt }),
	store.BigintColumn("finished_at", func(o *outcome) any { return o.finishedAt }),
)

var attemptInserter = store.NewWriter(`INSERT INTO delivery_attempts (delivery_id, number, at, status_code, code, message, response, timing, headers)
	SELECT u.id, (SELECT count(*) + 1 FROM delivery_attempts a WHERE a.delivery_id = u.id), u.at, u.status_code, u.code, u.message, u.response, u.timing, u.headers
	{from} WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = u.id) ON CONFLICT DO NOTHING`,
	store.TextColumn("id", func(o *outcome) any { return o.id }),
	store.BigintColumn("at", func(o *outcome) any { return o.at }),
	store.BigintColumn("status_code", func(o *outcome) any { return o.summary.LastStatusCode }),
	store.TextColumn("code", func(o *outcome) any { return o.result.Code }),
	store.TextColumn("message", func(o *outcome) any { return o.result.Message }),
	store.TextColumn("response", func(o *outcome) any { return strings.ReplaceAll(o.result.Response, "\x00", "\uFFFD") }),
	store.TextColumn("timing", func(o *outcome) any { return store.JSON(&o.result.Timing) }),
	store.TextColumn("headers", func(o *outcome) any { return store.JSON(&Headers{o.result.RequestHeader, o.result.ResponseHeader}) }),
)

// summaryUpdater copies the state of the newest callback into its job.
var summaryUpdater = store.NewWriter(`UPDATE jobs SET callback = u.callback
	{from} WHERE jobs.id = u.job_id AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = jobs.id AND d.id > u.id AND d.event <> 'job.progress')`,
	store.TextColumn("id", func(o *outcome) any { return o.id }),
	store.TextColumn("job_id", func(o *outcome) any { return o.jobID }),
	store.TextColumn("callback", func(o *outcome) any { return store.JSON(&o.summary) }),
)

// saveOutcomes writes the outcomes of attempts.
func (b *batch) saveOutcomes(ctx context.Context) error {
	if len(b.outcomes) == 0 {
		return nil
	}
	stored, err := outcomeUpdater.Returning(ctx, b.tx, b.outcomes)
	if err != nil {
		return fmt.Errorf("update deliveries: %w", err)
	}
	var made, shown []*outcome
	var finished []string
	for _, o := range b.outcomes {
		if o.result.Class != notify.Local {
			made = append(made, o)
		}
		if o.stored = slices.Contains(stored, o.id); !o.stored {
			continue
		}
		if o.summary.NextAttemptAt != nil {
			b.announce(o.owner, o.event, o.url, *o.summary.NextAttemptAt)
		}
		if o.event != jobs.JobProgress && o.jobID != "" {
			shown = append(shown, o)
		}
		if o.finishedAt != nil && o.jobID != "" {
			finished = append(finished, o.id)
		}
	}
	if _, err := attemptInserter.Write(ctx, b.tx, made); err != nil {
		return fmt.Errorf("log attempts: %w", err)
	}
	if _, err := summaryUpdater.Write(ctx, b.tx, shown); err != nil {
		return fmt.Errorf("update jobs: %w", err)
	}
	return b.dropOrphans(ctx, finished)
}

// dropOrphans deletes those of the finished deliveries whose job was removed while they were
// pending.
func (b *batch) dropOrphans(ctx context.Context, finished []string) error {
	if len(finished) == 0 {
		return nil
	}
	ids, err := json.Marshal(finished)
	if err != nil {
		return fmt.Errorf("find orphaned deliveries: %w", err)
	}
	rows, err := b.tx.QueryContext(ctx, `SELECT d.id FROM deliveries d WHERE d.id IN (SELECT value `+b.q.db.Elements()+`) AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = d.job_id)`, string(ids))
	if err != nil {
		return fmt.Errorf("find orphaned deliveries: %w", err)
	}
	defer rows.Close()
	var orphans []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("find orphaned deliveries: %w", err)
		}
		orphans = append(orphans, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("find orphaned deliveries: %w", err)
	}
	for _, id := range orphans {
		if err := b.deleteDelivery(ctx, id); err != nil {
			return err
		}
	}
	return nil
}
