package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Cancel ends a job that waits, at once, and tells the worker of a running
// one to stop: then the job returned is still running and its CancelRequested
// is set. The reason, which may be empty, becomes a part of the job's error.
// Canceling again changes nothing. Errors: [ErrNotFound], [ErrFinished].
func (q *Queue) Cancel(ctx context.Context, id, reason string) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		job, err := q.cancelWaiting(ctx, id, reason)
		if !errors.Is(err, errRunning) {
			return job, err
		}
		// It may have gone back to waiting since.
		if job, err = q.cancelRunning(ctx, id, reason); !errors.Is(err, errNotRunning) {
			return job, err
		}
	}
}

var (
	errRunning    = errors.New("the job is running")
	errNotRunning = errors.New("the job is not running")
)

// cancelWaiting ends a job that waits.
func (q *Queue) cancelWaiting(ctx context.Context, id, reason string) (Job, error) {
	return q.transit(ctx, id, func(ctx context.Context, t *transition, j *Job) error {
		switch {
		case j.Done:
			return refuse(ErrFinished)
		case j.Status == Running:
			return refuse(errRunning)
		}
		if err := t.note(ctx, j, reason); err != nil {
			return err
		}
		if err := t.withdraw(ctx, j); err != nil {
			return err
		}
		return t.cancel(ctx, j)
	})
}

// cancelRunning tells the worker of a running job to stop. The status stays,
// so the run goes on to be the one that may write.
func (q *Queue) cancelRunning(ctx context.Context, id, reason string) (Job, error) {
	var job Job
	err := q.committer.commit(ctx, id, func(ctx context.Context, tx *sql.Tx) error {
		j, err := q.lockJob(ctx, tx, id)
		if err != nil {
			return err
		}
		switch {
		case j.Done:
			return refuse(ErrFinished)
		case j.Status != Running:
			return refuse(errNotRunning)
		}
		t := &transition{q: q, tx: tx, now: At(time.Now())}
		if !j.CancelRequested {
			if err := t.note(ctx, &j, reason); err != nil {
				return err
			}
		}
		job = j
		return t.withdraw(ctx, &j)
	})
	return job, err
}

// note writes down that and why the job is to be canceled.
func (t *transition) note(ctx context.Context, j *Job, reason string) error {
	j.CancelRequested = true
	if _, err := t.tx.ExecContext(ctx, `UPDATE jobs SET cancel_requested_at = $1, cancel_reason = $2 WHERE id = $3`, t.now, clip(reason, maxMessage), j.ID); err != nil {
		return fmt.Errorf("note cancellation: %w", err)
	}
	return nil
}

// cancel ends the job as canceled.
func (t *transition) cancel(ctx context.Context, j *Job) error {
	var reason string
	if err := t.tx.QueryRowContext(ctx, `SELECT cancel_reason FROM jobs WHERE id = $1`, j.ID).Scan(&reason); err != nil {
		return fmt.Errorf("read cancel reason: %w", err)
	}
	text := "canceled on request"
	if reason != "" {
		text = "canceled: " + reason
	}
	return t.end(ctx, j, Canceled, &Error{Code: "canceled", Message: text + t.leftBehind(), Attempt: j.Attempt})
}

// Retry gives a job that failed, expired or was canceled another attempt, at
// the step where it stopped. Errors: [ErrNotFound], [ErrNotFinished],
// [ErrSucceeded].
func (q *Queue) Retry(ctx context.Context, id string) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return q.transit(ctx, id, func(ctx context.Context, t *transition, j *Job) error {
		switch {
		case !j.Done:
			return refuse(ErrNotFinished)
		case j.Status == Succeeded:
			return refuse(ErrSucceeded)
		}
		t.to(j, Queued)
		j.MaxAttempts = max(j.MaxAttempts, j.Attempt+1)
		j.Error, j.FinishedAt, j.RunAt, j.ExpiresAt = nil, nil, nil, nil
		j.CancelRequested, j.recoveries = false, 0
		if j.Callback != nil {
			j.Callback = &Callback{URL: j.callback.url, Status: waiting}
		}
		return t.enqueue(ctx, j)
	})
}
