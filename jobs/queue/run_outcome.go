package queue

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"coatcheck/jobs"
)

// finish stores the outcome of a run. If it returns an error, River retries the job.
func (q *Queue) finish(ctx context.Context, r *run, res jobs.Result) error {
	cause, took := context.Cause(ctx), time.Since(r.began)
	if errors.Is(cause, jobs.ErrLost) {
		return nil
	}
	decide := func(_ context.Context, _ *batch, j *jobs.Job) (jobs.Trigger, error) { //nolint:unparam // a decider may return an error
		return jobs.RunEnded{
			RunID: r.job.RunID, Result: res, Cause: cause, Canceled: errors.Is(cause, river.ErrJobCancelledRemotely),
			Wait: q.Backoff(j.Attempt), Report: r.report(), Log: r.unsavedLog(), Last: r.last(),
		}, nil
	}
	var job jobs.Job
	err := q.persist(ctx, func(ctx context.Context) (err error) {
		job, err = q.transitFrom(ctx, r.job.ID, r.cachedRow(), decide)
		return err
	})
	if errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) {
		q.Logger.WarnContext(ctx, "run lost its job, its outcome is dropped", "job", r.job.ID, "run", r.job.RunID)
		return nil
	}
	if err != nil {
		return err
	}
	q.metrics.ran(r.job.Chain[r.job.Step-1].Service, job.Status, took)
	if res.Failure != nil && res.Failure.Code == jobs.CodeNotStarted && job.Status == jobs.Queued {
		return errors.New(res.Failure.Message) // River retries it
	}
	return nil
}

// cachedRow returns the job as its row is if the row has not changed since the run began; nil if
// the run cannot be sure.
func (r *run) cachedRow() *jobs.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version != r.job.Version || r.job.WantsProgress() { // the row counts progress callbacks
		return nil
	}
	return &r.job
}

// persist retries write until it succeeds or is refused: the work is done, and an outage of the
// database must not lose its outcome. If write keeps failing although the database works, persist
// returns the error after a minute.
func (q *Queue) persist(ctx context.Context, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	start := time.Now()
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		err := within(ctx, time.Minute, write)
		if err == nil || errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) || errors.Is(err, errClosed) {
			return err
		}
		switch {
		case q.noteDatabase(ctx, err):
			start = time.Now()
		case time.Since(start) > time.Minute:
			return err
		default:
			q.Logger.ErrorContext(ctx, "outcome not stored, will retry", "err", err)
		}
		select {
		case <-q.stopped:
			return err
		case <-time.After(delay):
		}
	}
}
