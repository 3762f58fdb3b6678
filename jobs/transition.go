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

// A judge returns the fact that a job meets while its row is locked, or an error
// if there is none.
type judge func(ctx context.Context, t *transition, j *Job) (fact, error)

// A transition is one transaction that changes jobs, with all that follows.
type transition struct {
	q   *Queue
	tx  *sql.Tx
	now Time
}

// transitToEnd is [Queue.transit] for a context that has no end.
func (q *Queue) transitToEnd(ctx context.Context, id string, says judge) (Job, error) {
	var before, job Job
	var e effects
	var now Time
	err := q.committer.commit(ctx, id, func(ctx context.Context, tx *sql.Tx) (err error) {
		if before, err = q.lockJob(ctx, tx, id); err != nil {
			return err
		}
		t := &transition{q: q, tx: tx, now: At(time.Now())}
		f, err := says(ctx, t, &before)
		if err != nil {
			return err
		}
		if job, e, err = before.meets(f, t.now); err != nil {
			return refuse(err)
		}
		now = t.now
		return t.write(ctx, &before, &job, &e)
	})
	if err != nil {
		return Job{}, err
	}
	q.metrics.transited(before.Status, &job, now)
	if e.recovered {
		q.counters.recovered.Add(1)
	}
	if e.requeued {
		q.Logger.WarnContext(ctx, "job was lost and is queued again", "job", job.ID, "recoveries", job.recoveries)
	}
	q.publish(ctx, &job, &e, now)
	return job, nil
}

// is returns a judge that returns f for every job.
func is(f fact) judge {
	return func(context.Context, *transition, *Job) (fact, error) { return f, nil }
}

// write writes a job's row, and what follows from the fact that it has met.
func (t *transition) write(ctx context.Context, before, job *Job, e *effects) error {
	if e.log != nil {
		if err := t.saveLogs(ctx, map[string]part{job.ID: *e.log}); err != nil {
			return err
		}
	}
	if e.withdraw != 0 {
		if err := t.withdraw(ctx, e.withdraw); err != nil {
			return err
		}
	}
	if e.enqueue {
		if err := t.enqueue(ctx, job); err != nil {
			return err
		}
	}
	if e.place != 0 {
		if err := t.takePlace(ctx, job.riverJobID, e.place); err != nil {
			return err
		}
	}
	if e.callback != "" {
		if err := t.callBack(ctx, job, e.callback); err != nil {
			return err
		}
	}
	return saveJob(ctx, t.tx, job, before, e.workerID, t.now)
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
	t.q.db.ring(jobQueue)
	return nil
}

// takePlace gives a River job the place in the queue that another one has.
func (t *transition) takePlace(ctx context.Context, riverJobID, of int64) error {
	// River would take a time in the past for one that its scheduler must wait
	// for. The ids of jobs of the same time decide; the new one is the last.
	if _, err := t.tx.ExecContext(ctx, `UPDATE river_job SET scheduled_at = (SELECT `+t.q.db.justBefore("scheduled_at")+` FROM river_job WHERE id = $1)
		WHERE id = $2 AND scheduled_at >= (SELECT scheduled_at FROM river_job WHERE id = $1)`, of, riverJobID); err != nil {
		return fmt.Errorf("keep the job's place: %w", err)
	}
	return nil
}

// withdraw takes a River job back, or tells its worker to stop.
func (t *transition) withdraw(ctx context.Context, riverJobID int64) error {
	if _, err := t.q.river.JobCancelTx(ctx, t.tx, riverJobID); err != nil && !errors.Is(err, river.ErrNotFound) {
		return fmt.Errorf("cancel River job: %w", err)
	}
	return nil
}

// publish tells viewers of the job's new status. A loss costs only latency.
func (q *Queue) publish(ctx context.Context, j *Job, effect *effects, now Time) {
	e := notify.Event{ID: j.EventID(), Prev: effect.prev, Name: "status"}
	var data any = struct {
		Type            string `json:"type"`
		Status          Status `json:"status"`
		Attempt         int    `json:"attempt"`
		Step            int    `json:"step"`
		CancelRequested bool   `json:"cancel_requested"`
		At              Time   `json:"at"`
	}{"status", j.Status, j.Attempt, j.Step, j.CancelRequested, now}
	if effect.kept {
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
