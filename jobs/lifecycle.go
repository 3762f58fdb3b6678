package jobs

import (
	"cmp"
	"fmt"
	"slices"

	"coatcheck/notify"
)

// successors are the statuses that may follow each. A new job is scheduled or
// queued.
var successors = map[Status][]Status{
	Scheduled: {Queued, Canceled, Expired},
	Queued:    {Queued, Running, Canceled, Expired}, // Queued again: River lost its job
	Running:   {Running, Queued, Retrying, Succeeded, Failed, Canceled},
	Retrying:  {Queued, Canceled},
}

// A fact is something that happens to a job, such as the end of its run. It
// decides what becomes of the job, as a pure function of the job and the time:
// it reads and writes nothing else. Its error leaves the job as it was.
type fact interface {
	meet(j *Job, e *effects, now Time) error
}

// effects are what follows from a fact beside the job's new row, in the same
// transaction or after it.
type effects struct {
	// withdraw is the River job to take back; 0 for none.
	withdraw int64
	// enqueue inserts a new River job. It takes the place in the queue of the River
	// job named by place; 0 for the end of the queue.
	enqueue bool
	place   int64
	// callback is the event that the submitter is called back with; "" for none.
	callback string
	// log are lines of the job's service; nil for none.
	log *part
	// workerID is the process that runs the job from now on.
	workerID string
	// prev is the id of the job's previous event; zero if it is unknown.
	prev notify.ID
	// advanced means that a step is over, so that the chain has changed.
	advanced bool
	// kept means that the run continues.
	kept bool
	// requeued means that the job was lost and is queued again, which is logged;
	// recovered that its run was lost, which is counted.
	requeued, recovered bool
}

// meets returns the job after a fact and what follows from it. The job that it
// is called on stays as it is.
func (j Job) meets(f fact, now Time) (Job, effects, error) {
	from, e := j.Status, effects{prev: j.EventID()}
	j.Chain, j.History = slices.Clone(j.Chain), slices.Clone(j.History)
	if err := f.meet(&j, &e, now); err != nil {
		return Job{}, effects{}, err
	}
	if e.kept {
		return j, e, nil
	}
	if !slices.Contains(successors[from], j.Status) {
		return Job{}, effects{}, fmt.Errorf("a job that is %s can't become %s", from, j.Status)
	}
	j.remember(e.workerID, now)
	return j, e, nil
}

// to gives the job its new status. What the run before said no longer counts.
func (j *Job) to(status Status) {
	j.Status = status
	j.version++
	j.events = 0
	j.runID = ""
	j.refresh()
}

// end gives the job its last status.
func (j *Job) end(e *effects, now Time, status Status, jobErr *Error) {
	j.Error, j.FinishedAt = jobErr, &now
	j.to(status)
	if status == Succeeded {
		j.Progress.Percent = 100
		j.Progress.UpdatedAt = &now
	}
	e.callback = "job." + string(status)
}

// queue gives the job to the next worker, behind all that wait.
func (j *Job) queue(e *effects) {
	j.to(Queued)
	e.enqueue = true
}

// requeue queues the job again at its place in the queue. The next worker makes
// the same attempt.
func (j *Job) requeue(e *effects) {
	e.place = j.riverJobID
	j.queue(e)
}

// cancel ends the job as canceled.
func (j *Job) cancel(e *effects, now Time, leftBehind string) {
	j.end(e, now, Canceled, &Error{Code: "canceled", Message: cmp.Or(j.cancelReason, "canceled on request") + leftBehind, Attempt: j.Attempt})
}

// lose takes the job from a run whose process has died: it is queued again, or
// fails when that happened more often than most allows.
func (j *Job) lose(e *effects, now Time, most int, how string) {
	j.recoveries++
	if j.recoveries > most {
		message := fmt.Sprintf("%d workers were lost while they ran the job", j.recoveries)
		if how != "" {
			message += "; " + how
		}
		j.end(e, now, Failed, &Error{Code: codeWorkerLost, Message: message, Attempt: j.Attempt})
		return
	}
	e.requeued = true
	j.Attempt--
	j.requeue(e)
}
