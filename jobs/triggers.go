package jobs

import (
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// runStarted means that a worker starts the current step of the job.
type runStarted struct {
	runID, workerID string
	riverJobID      int64 // the one that the worker fetched
}

func (t runStarted) apply(j *Job, e *effects, now store.Time) error {
	expired := j.ExpiresAt != nil && j.StartedAt == nil && now.After(j.ExpiresAt.Time)
	if j.Done || j.riverJobID != t.riverJobID || j.CancelRequested || expired {
		return errLost
	}
	if j.Status == Running {
		e.prev = notify.ID{} // River gave up the previous run, so its event counter is unknown
	} else {
		j.Attempt++
	}
	j.setStatus(Running)
	j.runID, e.workerID = t.runID, t.workerID
	j.Progress = Report{Percent: j.overall(0)}
	if j.StartedAt == nil {
		j.StartedAt = &now
	}
	e.callback = JobStarted
	return nil
}

// runEnded means that the run of a service has ended.
type runEnded struct {
	runID  string
	result result
	cause  error         // why the run was stopped; nil if it was not
	cancel bool          // whether that was a cancel request
	wait   time.Duration // delay before the next attempt, unless the service chooses another
	report Report        // the last
	log    part
	last   notify.ID // the run's newest event
}

func (t runEnded) apply(j *Job, e *effects, now store.Time) error {
	if j.Status != Running || j.runID != t.runID {
		return errLost
	}
	if t.last.Compare(e.prev) > 0 {
		e.prev = t.last
	}
	e.log, j.logLines, j.Progress = &t.log, t.log.lines, t.report
	suffix := ""
	if t.result.returned != nil {
		suffix = "; the service did not stop and was left behind"
	}
	failure := t.result.Failure
	switch {
	case failure == nil && (!j.CancelRequested || j.Step == j.Steps):
		j.advance(e, now, t.result)
	case j.CancelRequested || t.cancel:
		j.cancel(e, now, suffix)
	case failure.Code == codeWorkerLost:
		j.lose(e, now, maxRecoveries, failure.Message)
	case failure.Code == codeNotStarted:
		j.Attempt--
		j.setStatus(Queued) // River retries it
	case t.cause != nil && !errors.Is(t.cause, errTimeout) && failure.Code != codePanic:
		j.Attempt-- // the process is stopping
		j.requeue(e)
	default:
		j.fail(e, now, t, suffix)
	}
	return nil
}

// advance stores the output of the current step, and starts the next step or ends the job.
func (j *Job) advance(e *effects, now store.Time, res result) {
	e.advanced = true
	step := &j.Chain[j.Step-1]
	step.FinishedAt = &now
	if j.Step > 1 {
		j.Chain[j.Step-2].Output = nil // only the step that just finished needed it
	}
	if j.Step == j.Steps {
		j.Output = res.Output
		j.end(e, now, Succeeded, nil)
		return
	}
	step.Output = res.Output
	j.Progress = Report{Percent: j.overall(100), UpdatedAt: &now}
	j.Step++
	j.Attempt, j.Error = 0, nil
	j.recoveries = 0 // the next step is another service
	j.queue(e)
}

// fail records a failed attempt, and schedules another if attempts are left.
func (j *Job) fail(e *effects, now store.Time, f runEnded, suffix string) {
	failure := f.result.Failure
	jobErr := &Error{Code: failure.Code, Message: failure.Message, Attempt: j.Attempt}
	if failure.Code == codeFailed && errors.Is(f.cause, errTimeout) {
		jobErr.Code = codeTimeout
		jobErr.Message = fmt.Sprintf("the attempt took longer than %s", time.Duration(j.timeout)) + suffix
	}
	if failure.Permanent || j.Attempt >= j.MaxAttempts {
		j.end(e, now, Failed, jobErr)
		return
	}
	wait := f.wait
	if failure.RetryAfter != nil {
		wait = *failure.RetryAfter
	}
	at := store.At(now.Add(wait))
	j.setStatus(Retrying)
	j.Error, j.RunAt, j.riverJobID = jobErr, &at, 0
	e.callback = JobRetrying
}

// cancelRequested means that a caller cancels the job. A running job keeps its run, which is
// requested to stop.
type cancelRequested struct{ reason string }

func (t cancelRequested) apply(j *Job, e *effects, now store.Time) error {
	switch {
	case j.Status == Canceled || j.Status == Running && j.CancelRequested:
		return errCanceled
	case j.Done:
		return ErrFinished
	}
	j.CancelRequested, j.cancelReason = true, clip(t.reason, maxMessage)
	e.cancelRiverJob = j.riverJobID
	if j.Status != Running {
		j.cancel(e, now, "")
		return nil
	}
	e.kept = true
	j.version++
	j.events = 0
	j.refresh()
	return nil
}

// startDue means that the run_at of a scheduled or retrying job has passed.
type startDue struct{}

func (startDue) apply(j *Job, e *effects, now store.Time) error {
	if j.Status != Scheduled && j.Status != Retrying || j.RunAt == nil || j.RunAt.After(now.Time) {
		return errLost
	}
	j.queue(e)
	return nil
}

// startMissed means that the job did not start before its expires_at.
type startMissed struct{}

func (startMissed) apply(j *Job, e *effects, now store.Time) error {
	if j.Done || j.StartedAt != nil || j.ExpiresAt == nil || j.ExpiresAt.After(now.Time) {
		return errLost
	}
	e.cancelRiverJob = j.riverJobID
	j.end(e, now, Expired, &Error{Code: "expired", Message: "the job was not started in time"})
	return nil
}

// executionLost means that the worker that ran the job, or the River job that carried it, is gone.
type executionLost struct {
	// isolates means that workers run suspects in isolated processes.
	isolates bool
}

func (t executionLost) apply(j *Job, e *effects, now store.Time) error {
	if j.Status != Running && j.Status != Queued {
		return errLost
	}
	e.prev = notify.ID{} // the lost run's event counter is unknown
	e.recovered = j.Status == Running
	e.cancelRiverJob = j.riverJobID
	most := maxRecoveries
	if t.isolates && j.suspect() {
		most = maxRestarts // it ran alone, so it is unlikely to have killed the worker
	}
	switch {
	case j.CancelRequested:
		j.cancel(e, now, "")
	case j.Status == Running:
		j.lose(e, now, most, "")
	default:
		e.requeued = true
		j.requeue(e)
	}
	return nil
}

// riverCanceled means that an operator canceled the job in River's tables.
type riverCanceled struct{}

func (riverCanceled) apply(j *Job, e *effects, now store.Time) error {
	if j.Status != Queued {
		return errLost
	}
	j.cancel(e, now, "")
	return nil
}
