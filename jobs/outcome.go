package jobs

import (
	"context"
	"errors"
	"time"
)

// finish writes what became of a run. Its error makes River call the worker
// again.
func (q *Queue) finish(ctx context.Context, r *run, res result) error {
	cause, took := context.Cause(ctx), time.Since(r.began)
	if errors.Is(cause, errLost) {
		return nil
	}
	says := func(_ context.Context, _ *batch, j *Job) (fact, error) { //nolint:unparam // a judge may refuse
		return runEnded{r.job.runID, res, cause, q.Backoff(j.Attempt), r.report(), r.unsavedLog(), r.last()}, nil
	}
	var job Job
	err := q.persist(ctx, func(ctx context.Context) (err error) {
		job, err = q.transitFrom(ctx, r.job.ID, r.known(), says)
		return err
	})
	if errors.Is(err, errLost) || errors.Is(err, ErrNotFound) {
		q.Logger.WarnContext(ctx, "run lost its job, its outcome is dropped", "job", r.job.ID, "run", r.job.runID)
		return nil
	}
	if err != nil {
		return err
	}
	q.metrics.ran(r.job.Chain[r.job.Step-1].Service, job.Status, took)
	if res.Failure != nil && res.Failure.Code == codeNotStarted && job.Status == Queued {
		return errors.New(res.Failure.Message) // River calls again
	}
	return nil
}

// known returns the job as its row is, unless somebody has changed it since the
// run began; nil when the run can't know.
func (r *run) known() *Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version != r.job.version || r.job.wantsProgress() { // callbacks of progress are counted in the row
		return nil
	}
	return &r.job
}

// persist tries to write an outcome until it is written or refused: the work
// behind it is done and must not be lost to an absence of the database. What
// fails although the database is there is given up after a minute.
func (q *Queue) persist(ctx context.Context, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	start := time.Now()
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		err := within(ctx, time.Minute, write)
		if err == nil || errors.Is(err, errLost) || errors.Is(err, ErrNotFound) || errors.Is(err, errClosed) {
			return err
		}
		switch {
		case q.noteDatabase(ctx, err):
			start = time.Now()
		case time.Since(start) > time.Minute:
			return err
		default:
			q.Logger.ErrorContext(ctx, "outcome not written, will try again", "err", err)
		}
		select {
		case <-q.stopped:
			return err
		case <-time.After(delay):
		}
	}
}
