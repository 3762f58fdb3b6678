package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// RunStarted means that a worker starts the current step of the job.
type RunStarted struct {
	RunID, WorkerID string
	RiverJobID      int64 // the one that the worker fetched
}

func (t RunStarted) apply(j *Job, e *Effects, now store.Time) error {
	expired := j.ExpiresAt != nil && j.StartedAt == nil && now.After(j.ExpiresAt.Time)
	if j.Done || j.RiverJobID != t.RiverJobID || j.CancelRequested || expired {
		return ErrLost
	}
	if j.Status == Running {
		e.Prev = notify.ID{} // River gave up the previous run, so its event counter is unknown
	} else {
		j.Attempt++
	}
	j.setStatus(Running)
	j.RunID, e.WorkerID = t.RunID, t.WorkerID
	j.Progress = Report{Percent: j.Overall(0)}
	if j.StartedAt == nil {
		j.StartedAt = &now
	}
	e.Callback = JobStarted
	return nil
}

// RunEnded means that the run of a service has ended.
type RunEnded struct {
	RunID    string
	Result   Result
	Cause    error         // why the run was stopped; nil if it was not
	Canceled bool          // whether that was a cancel request
	Wait     time.Duration // delay before the next attempt, unless the service chooses another
	Report   Report        // the last
	Log      LogPart
	Last     notify.ID // the run's newest event
}

func (t RunEnded) apply(j *Job, e *Effects, now store.Time) error {
	if j.Status != Running || j.RunID != t.RunID {
		return ErrLost
	}
	if t.Last.Compare(e.Prev) > 0 {
		e.Prev = t.Last
	}
	e.Log, j.LogLines, j.Progress = &t.Log, t.Log.Lines, t.Report
	suffix := ""
	if t.Result.Returned != nil {
		suffix = "; the service did not stop and was left behind"
	}
	failure := t.Result.Failure
	switch {
	case failure == nil && (!j.CancelRequested || j.Step == j.Steps):
		j.advance(e, now, t.Result)
	case j.CancelRequested || t.Canceled:
		j.cancel(e, now, suffix)
	case failure.Code == CodeWorkerLost:
		j.lose(e, now, maxRecoveries, failure.Message)
	case failure.Code == CodeNotStarted:
		j.Attempt--
		j.setStatus(Queued) // River retries it
	case t.Cause != nil && !errors.Is(t.Cause, ErrTimeout) && failure.Code != codePanic:
		j.Attempt-- // the process is stopping
		j.requeue(e)
	default:
		j.fail(e, now, t, suffix)
	}
	return nil
}

// advance stores the output of the current step, and starts the next step or ends the job.
func (j *Job) advance(e *Effects, now store.Time, res Result) {
	e.Advanced = true
	step := &j.Chain[j.Step-1]
	step.FinishedAt = &now
	if j.Step > 1 {
		before := &j.Chain[j.Step-2] // only the step that just finished needed its output
		before.Output, before.File = nil, ""
	}
	if j.Step == j.Steps {
		j.Output, j.OutputFile = res.Output, res.File
		j.end(e, now, Succeeded, nil)
		return
	}
	step.Output, step.File = res.Output, res.File
	j.Progress = Report{Percent: j.Overall(100), UpdatedAt: &now}
	j.Step++
	next := &j.Chain[j.Step-1]
	j.Timeout, j.MaxAttempts = cmp.Or(next.Timeout, j.Timeout), cmp.Or(next.MaxAttempts, j.MaxAttempts)
	j.Attempt, j.Error = 0, nil
	j.Recoveries = 0 // the next step is another service
	j.queue(e)
}

// fail records a failed attempt, and schedules another if attempts are left.
func (j *Job) fail(e *Effects, now store.Time, f RunEnded, suffix string) {
	failure := f.Result.Failure
	jobErr := &Error{Code: failure.Code, Message: failure.Message, Attempt: j.Attempt}
	if failure.Code == CodeFailed && errors.Is(f.Cause, ErrTimeout) {
		jobErr.Code = codeTimeout
		jobErr.Message = fmt.Sprintf("the attempt took longer than %s", time.Duration(j.Timeout)) + suffix
	}
	if failure.Permanent || j.Attempt >= j.MaxAttempts {
		j.end(e, now, Failed, jobErr)
		return
	}
	wait := f.Wait
	if failure.RetryAfter != nil {
		wait = *failure.RetryAfter
	}
	at := store.At(now.Add(wait))
	j.setStatus(Retrying)
	j.Error, j.RunAt, j.RiverJobID = jobErr, &at, 0
	e.Callback = JobRetrying
}

// CancelRequested means that a caller cancels the job. A running job keeps its run, which is
// requested to stop.
type CancelRequested struct{ Reason string }

func (t CancelRequested) apply(j *Job, e *Effects, now store.Time) error {
	switch {
	case j.Status == Canceled || j.Status == Running && j.CancelRequested:
		return ErrAlreadyCanceled
	case j.Done:
		return ErrFinished
	}
	j.CancelRequested, j.CancelReason = true, Clip(t.Reason, MaxMessage)
	e.CancelRiverJob = j.RiverJobID
	if j.Status != Running {
		j.cancel(e, now, "")
		return nil
	}
	e.Kept = true
	j.Version++
	j.Events = 0
	j.Refresh()
	return nil
}

// StartDue means that the run_at of a scheduled or retrying job has passed.
type StartDue struct{}

func (StartDue) apply(j *Job, e *Effects, now store.Time) error {
	if j.Status != Scheduled && j.Status != Retrying || j.RunAt == nil || j.RunAt.After(now.Time) {
		return ErrLost
	}
	j.queue(e)
	return nil
}

// StartMissed means that the job did not start before its expires_at.
type StartMissed struct{}

func (StartMissed) apply(j *Job, e *Effects, now store.Time) error {
	if j.Done || j.StartedAt != nil || j.ExpiresAt == nil || j.ExpiresAt.After(now.Time) {
		return ErrLost
	}
	e.CancelRiverJob = j.RiverJobID
	j.end(e, now, Expired, &Error{Code: "expired", Message: "the job was not started in time"})
	return nil
}

// ExecutionLost means that the worker that ran the job, or the River job that carried it, is gone.
type ExecutionLost struct {
	// Isolates means that workers run suspects in isolated processes.
	Isolates bool
}

func (t ExecutionLost) apply(j *Job, e *Effects, now store.Time) error {
	if j.Status != Running && j.Status != Queued {
		return ErrLost
	}
	e.Prev = notify.ID{} // the lost run's event counter is unknown
	e.Recovered = j.Status == Running
	e.CancelRiverJob = j.RiverJobID
	most := maxRecoveries
	if t.Isolates && j.Suspect() {
		most = maxRestarts // it ran alone, so it is unlikely to have killed the worker
	}
	switch {
	case j.CancelRequested:
		j.cancel(e, now, "")
	case j.Status == Running:
		j.lose(e, now, most, "")
	default:
		e.Requeued = true
		j.requeue(e)
	}
	return nil
}

// RiverCanceled means that an operator canceled the job in River's tables.
type RiverCanceled struct{}

func (RiverCanceled) apply(j *Job, e *Effects, now store.Time) error {
	if j.Status != Queued {
		return ErrLost
	}
	j.cancel(e, now, "")
	return nil
}
