package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// Cancel ends a job that waits, at once, and tells the worker of a running
// one to stop: then the job returned is still running and its CancelRequested
// is set. The reason, which may be empty, becomes the message of the job's
// error. Canceling again changes nothing. Errors: [ErrNotFound],
// [ErrFinished] when it ended otherwise.
func (q *Queue) Cancel(ctx context.Context, id, reason string) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		job, err := q.cancelWaiting(ctx, id, reason)
		if errors.Is(err, errRunning) {
			// It may have gone back to waiting since.
			job, err = q.cancelRunning(ctx, id, reason)
		}
		switch {
		case errors.Is(err, errNotRunning):
		case errors.Is(err, errCanceled):
			return q.Get(ctx, id)
		default:
			return job, err
		}
	}
}

var (
	errRunning    = errors.New("the job is running")
	errNotRunning = errors.New("the job is not running")
	errCanceled   = errors.New("the job is canceled already, or asked to stop")
)

// cancelWaiting ends a job that waits.
func (q *Queue) cancelWaiting(ctx context.Context, id, reason string) (Job, error) {
	return q.transit(ctx, id, func(ctx context.Context, t *transition, j *Job) error {
		switch {
		case j.Status == Canceled:
			return refuse(errCanceled)
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
	return q.transit(ctx, id, func(ctx context.Context, t *transition, j *Job) error {
		switch {
		case j.Status == Canceled || j.Status == Running && j.CancelRequested:
			return refuse(errCanceled)
		case j.Done:
			return refuse(ErrFinished)
		case j.Status != Running:
			return refuse(errNotRunning)
		}
		if err := t.note(ctx, j, reason); err != nil {
			return err
		}
		t.keep(j)
		return t.withdraw(ctx, j)
	})
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
	return t.end(ctx, j, Canceled, &Error{Code: "canceled", Message: cmp.Or(reason, "canceled on request") + t.leftBehind(), Attempt: j.Attempt})
}
