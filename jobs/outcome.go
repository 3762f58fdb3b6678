package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"
)

// finish writes what became of a run: its output and the next step or the
// end, another attempt, or nothing when it was only interrupted.
func (q *Queue) finish(ctx context.Context, r *run, res result) error {
	cause, took := context.Cause(ctx), time.Since(r.began)
	if errors.Is(cause, errLost) {
		return nil
	}
	var interrupted error
	apply := func(ctx context.Context, t *transition, j *Job) error {
		if j.Status != Running || j.runID != r.job.runID {
			return refuse(errLost)
		}
		if last := r.last(); last.Compare(t.prev) > 0 {
			t.prev = last
		}
		log := r.unsavedLog()
		if err := t.saveLogs(ctx, map[string]part{j.ID: log}); err != nil {
			return err
		}
		j.logLines = log.lines
		t.deaf = res.returned != nil
		j.Progress = r.report()
		switch {
		case res.Failure == nil && (!j.CancelRequested || j.Step == j.Steps):
			return t.advance(ctx, j, res.Output)
		case j.CancelRequested || errors.Is(cause, river.ErrJobCancelledRemotely):
			return t.cancel(ctx, j)
		case res.Failure.Code == codeWorkerLost:
			return t.lose(ctx, j, maxRecoveries, res.Failure.Message)
		case res.Failure.Code == codeNotStarted:
			t.to(j, Queued)
			j.Attempt--
			interrupted = errors.New(res.Failure.Message)
			return nil
		case cause != nil && !errors.Is(cause, errTimeout) && (res.Failure == nil || res.Failure.Code != codePanic):
			// The process stops, and another one makes the same attempt.
			j.Attempt--
			return t.requeue(ctx, j)
		default:
			return t.fail(ctx, j, *res.Failure, cause)
		}
	}
	err := q.persist(ctx, func(ctx context.Context) error {
		job, err := q.transit(ctx, r.job.ID, apply)
		if err == nil {
			q.metrics.ran(r.job.Chain[r.job.Step-1].Service, job.Status, took)
		}
		return err
	})
	if errors.Is(err, errLost) || errors.Is(err, ErrNotFound) {
		q.Logger.WarnContext(ctx, "run lost its job, its outcome is dropped", "job", r.job.ID, "run", r.job.runID)
		return nil
	}
	if err != nil {
		return err
	}
	return interrupted
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

// advance records the output of the current step and goes on to the next one,
// or ends the job.
func (t *transition) advance(ctx context.Context, j *Job, output []byte) error {
	step := &j.Chain[j.Step-1]
	step.FinishedAt = &t.now
	if j.Step > 1 {
		j.Chain[j.Step-2].Output = nil // only the next step needed it
	}
	if j.Step == j.Steps {
		j.Output = output
		return t.end(ctx, j, Succeeded, nil)
	}
	step.Output = output
	j.Progress = Report{Percent: j.overall(100), UpdatedAt: &t.now}
	j.Step++
	j.Attempt = 0
	j.Error = nil
	j.recoveries = 0 // the next step is another service
	t.to(j, Queued)
	return t.enqueue(ctx, j)
}
