package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river"
)

// Cancel ends a job that waits, at once, and tells the worker of a running
// one to stop: then the job returned is still running and its CancelRequested
// is set. The reason, which may be empty, becomes the message of the job's
// error. Canceling again changes nothing. Errors: [ErrNotFound],
// [ErrFinished] when it ended otherwise.
func (q *Queue) Cancel(ctx context.Context, id, reason string) (Job, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := q.transit(ctx, id, is(cancelRequested{reason}))
	if errors.Is(err, errCanceled) {
		return q.Get(ctx, id)
	}
	if err != nil {
		return Job{}, err
	}
	if r := q.runOf(&job); r != nil {
		r.cancel(river.ErrJobCancelledRemotely) // or River tells it later
	}
	return job, nil
}

var errCanceled = errors.New("the job is canceled already, or asked to stop")
