package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"coatcheck/notify"

	"github.com/riverqueue/river"
)

// errLost is the error of a run that no longer holds its job.
var errLost = errors.New("the job is in other hands")

// riverAttempts is how often River calls a worker that can't reach the
// database. A job's own attempts are River jobs of their own.
const riverAttempts = 1000

// A transition changes a locked job from one status to the next, in one
// transaction with all that follows from it.
type transition struct {
	q   *Queue
	tx  *sql.Tx
	now Time
	// prev is the job's newest event before; zero when it can't be known.
	prev notify.ID
	// workerID is the process that runs the job from now on.
	workerID string
	// kept says that the run goes on.
	kept bool
	// deaf says that the job's run does not stop and is left behind.
	deaf bool
	// lost says that nobody carried the job any more, recovered that its run
	// was lost.
	lost, recovered bool
}

// transitToEnd is [Queue.transit] for a context that has no end.
func (q *Queue) transitToEnd(ctx context.Context, id string, apply func(ctx context.Context, t *transition, j *Job) error) (Job, error) {
	var job Job
	var t *transition
	var from Status
	err := q.committer.commit(ctx, id, func(ctx context.Context, tx *sql.Tx) error {
		j, err := q.lockJob(ctx, tx, id)
		if err != nil {
			return err
		}
		t = &transition{q: q, tx: tx, now: At(time.Now()), prev: j.EventID()}
		before, runID := j.EventID(), j.runID
		from = j.Status
		if err := apply(ctx, t, &j); err != nil {
			return err
		}
		if !t.kept {
			j.remember(t)
		}
		if err := saveJob(ctx, tx, &j, before, runID, t.workerID); err != nil {
			return err
		}
		job = j
		return nil
	})
	if err != nil {
		return Job{}, err
	}
	q.metrics.transited(from, &job, t.now)
	if t.recovered {
		q.counters.recovered.Add(1)
	}
	if t.lost {
		q.Logger.WarnContext(ctx, "job was lost and is queued again", "job", job.ID, "recoveries", job.recoveries)
	}
	q.publish(ctx, &job, t)
	return job, nil
}

// to gives the job its new status. What the run before said no longer counts.
func (t *transition) to(j *Job, status Status) {
	j.Status = status
	j.version++
	j.events = 0
	j.runID = ""
	j.refresh()
}

// keep leaves the job to its run: only what callers see has changed.
func (t *transition) keep(j *Job) {
	j.version++
	j.events = 0
	t.kept = true
	j.refresh()
}

// end gives the job its last status and makes the callback.
func (t *transition) end(ctx context.Context, j *Job, status Status, jobErr *Error) error {
	t.to(j, status)
	j.Error = jobErr
	j.FinishedAt = &t.now
	if status == Succeeded {
		j.Progress.Percent = 100
		j.Progress.UpdatedAt = &t.now
	}
	return t.callBack(ctx, j, "job."+string(status))
}

// enqueue gives the job to River, as a new River job.
func (t *transition) enqueue(ctx context.Context, j *Job) error {
	service := j.Chain[j.Step-1].Service
	res, err := t.q.river.InsertTx(ctx, t.tx, runArgs{service: service, JobID: j.ID}, &river.InsertOpts{
		Queue: jobQueue, Priority: j.Priority, MaxAttempts: riverAttempts,
	})
	if err != nil {
		return fmt.Errorf("insert River job: %w", err)
	}
	j.riverJobID = res.Job.ID
	return nil
}

// withdraw takes the job's River job back, or tells its worker to stop.
func (t *transition) withdraw(ctx context.Context, j *Job) error {
	if j.riverJobID == 0 {
		return nil
	}
	if _, err := t.q.river.JobCancelTx(ctx, t.tx, j.riverJobID); err != nil && !errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("cancel River job: %w", err)
	}
	return nil
}

// publish tells viewers of the job's new status. A loss costs only latency.
func (q *Queue) publish(ctx context.Context, j *Job, t *transition) {
	e := notify.Event{ID: j.EventID(), Prev: t.prev, Name: "status"}
	var data any = struct {
		Type            string `json:"type"`
		Status          Status `json:"status"`
		Attempt         int    `json:"attempt"`
		Step            int    `json:"step"`
		CancelRequested bool   `json:"cancel_requested"`
		At              Time   `json:"at"`
	}{"status", j.Status, j.Attempt, j.Step, j.CancelRequested, t.now}
	if t.kept {
		if r := q.runOf(j); r != nil && r.raise(j.version, data) {
			return // in its place among what the run says
		}
	}
	if j.Done {
		e.Name = "end"
		data = struct {
			Type string `json:"type"`
		}{"end"}
	}
	var err error
	if e.Data, err = json.Marshal(data); err == nil {
		err = q.Events.Publish(j.ID, e)
	}
	if err != nil {
		q.Logger.DebugContext(ctx, "event not published", "job", j.ID, "event", e.ID.String(), "err", err)
	}
}
