package queue

import (
	"context"
	"errors"

	"github.com/riverqueue/river"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// Cancel cancels a waiting job at once. It requests a running job to stop: the returned job is then
// still running, with CancelRequested set. The reason, which may be empty, becomes the message of
// the job's error. Canceling a job again changes nothing. Errors: [jobs.ErrNotFound], and [jobs.ErrFinished]
// if the job ended in another way.
func (q *Queue) Cancel(ctx context.Context, id, reason string) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	job, err := q.transit(ctx, id, always(jobs.CancelRequested{Reason: reason}))
	if errors.Is(err, jobs.ErrAlreadyCanceled) {
		return q.Get(ctx, id)
	}
	if err != nil {
		return jobs.Job{}, err
	}
	if r := q.runOf(&job); r != nil {
		r.cancel(river.ErrJobCancelledRemotely) // otherwise River notifies the run later
	}
	return job, nil
}
