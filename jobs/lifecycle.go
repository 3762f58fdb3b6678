package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// successors are the allowed transitions. A new job is scheduled or queued.
var successors = map[Status][]Status{
	Scheduled: {Queued, Canceled, Expired},
	Queued:    {Queued, Running, Canceled, Expired}, // Queued again: River lost its job
	Running:   {Running, Queued, Retrying, Succeeded, Failed, Canceled},
	Retrying:  {Queued, Canceled},
}

// A Trigger is something that happens to a job, such as the end of its run. It changes the job as a
// pure function of the job and the time, without other reads or writes. If it returns an error, the
// job does not change.
type Trigger interface {
	apply(j *Job, e *Effects, now store.Time) error
}

// Effects are the consequences of a transition besides the job's new row. They take place in the
// same transaction or after it.
type Effects struct {
	// CancelRiverJob is the id of the River job to cancel; 0 for none.
	CancelRiverJob int64
	// Enqueue inserts a new River job. The new job takes the queue position of the River job with
	// the id queuePosition; 0 for the end of the queue.
	Enqueue       bool
	QueuePosition int64
	// Callback is the event of a callback to send; "" for none.
	Callback string
	// Log contains log lines of the job's service; nil for none.
	Log *LogPart
	// WorkerID is the process that runs the job from now on.
	WorkerID string
	// Prev is the id of the job's previous event; zero if it is unknown.
	Prev notify.ID
	// Advanced reports whether a step has finished, so that the chain has changed.
	Advanced bool
	// Kept reports whether the run continues.
	Kept bool
	// Requeued reports whether the job was lost and is queued again, which is logged. recovered
	// reports whether its run was lost, which is counted.
	Requeued, Recovered bool
}

// Transition returns the job after a trigger, and the effects. It does not change j itself.
func (j Job) Transition(t Trigger, now store.Time) (Job, Effects, error) {
	from, e := j.Status, Effects{Prev: j.EventID()}
	j.Chain, j.History = slices.Clone(j.Chain), slices.Clone(j.History)
	if err := t.apply(&j, &e, now); err != nil {
		return Job{}, Effects{}, err
	}
	if e.Kept {
		return j, e, nil
	}
	if !slices.Contains(successors[from], j.Status) {
		return Job{}, Effects{}, fmt.Errorf("a job that is %s can't become %s", from, j.Status)
	}
	j.recordHistory(e.WorkerID, now)
	return j, e, nil
}

// setStatus changes the status of the job. The previous run loses the job.
func (j *Job) setStatus(status Status) {
	j.Status = status
	j.Version++
	j.Events = 0
	j.RunID = ""
	j.Refresh()
}

// end ends the job with a final status.
func (j *Job) end(e *Effects, now store.Time, status Status, jobErr *Error) {
	j.Error, j.FinishedAt = jobErr, &now
	j.setStatus(status)
	if status == Succeeded {
		j.Progress.Percent = 100
		j.Progress.UpdatedAt = &now
	}
	e.Callback = "job." + string(status)
}

// queue queues the job at the end of the queue.
func (j *Job) queue(e *Effects) {
	j.setStatus(Queued)
	e.Enqueue = true
}

// requeue queues the job again at its previous position. The next worker repeats the same attempt.
func (j *Job) requeue(e *Effects) {
	e.QueuePosition = j.RiverJobID
	j.queue(e)
}

// cancel ends the job as canceled.
func (j *Job) cancel(e *Effects, now store.Time, suffix string) {
	j.end(e, now, Canceled, &Error{
		Code: "canceled", Message: cmp.Or(j.CancelReason, "canceled on request") + suffix, Attempt: j.Attempt,
	})
}

// lose takes the job from a run whose process has died. The job is queued again, or fails if this
// has happened more than most times.
func (j *Job) lose(e *Effects, now store.Time, most int, how string) {
	j.Recoveries++
	if j.Recoveries > most {
		message := fmt.Sprintf("%d workers were lost while they ran the job", j.Recoveries)
		if how != "" {
			message += "; " + how
		}
		j.end(e, now, Failed, &Error{Code: CodeWorkerLost, Message: message, Attempt: j.Attempt})
		return
	}
	e.Requeued = true
	j.Attempt--
	j.requeue(e)
}

// ErrLost is the error of a run that has lost its job, and of a transition that does not apply any
// more.
var ErrLost = errors.New("the run has lost its job")

// ErrTimeout is the cancellation cause of a run that took too long.
var ErrTimeout = errors.New("timeout")

// ErrAlreadyCanceled is the error of a cancel request that changes nothing.
var ErrAlreadyCanceled = errors.New("the job is already canceled or requested to stop")

const (
	// maxRecoveries is how often a job is given to another worker before it is assumed to kill its
	// workers. After the first time it runs isolated.
	maxRecoveries = 3
	// maxRestarts is the limit for a job that ran isolated when its worker was lost: another job
	// may have killed that worker.
	maxRestarts = 20
)

// A LogPart is a range of log lines.
type LogPart struct {
	First, Lines uint64
	Text         []byte
	Trim         bool
}
