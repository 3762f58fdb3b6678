package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// retryClaimed is the delay before a claimed delivery is claimed again after an internal error kept
// it from being attempted.
const retryClaimed = 2 * time.Second

// An attempt is one attempt at a delivery that this process has claimed.
type attempt struct {
	id, jobID, owner, event, url, origin string
	body                                 []byte
	attempts                             int // before this one
	scheduledFrom                        int
	claim                                int64 // fence: the number of the claim
	state                                destinationState
}

// attempt makes an attempt at a delivery and stores its outcome. If ctx ends first, another process
// may make the attempt.
func (q *Queue) attempt(ctx context.Context, v *attempt) {
	defer q.beginWork(v.id)()
	sent, err := q.deliver(ctx, v)
	if !sent {
		wait := time.Duration(0)
		if err != nil {
			wait = retryClaimed
		}
		err = errors.Join(err, q.release(ctx, v, wait))
	}
	if err != nil && ctx.Err() == nil && !q.noteDatabase(ctx, err) {
		q.Logger.ErrorContext(ctx, "callback not attempted, or its outcome not stored; will retry",
			"delivery", v.id, "err", err)
	}
}

// deliver attempts a delivery and stores the outcome. If it returns false, no attempt was made.
func (q *Queue) deliver(ctx context.Context, v *attempt) (sent bool, err error) {
	to := destination{v.owner, v.origin}
	if v.event == jobs.JobProgress {
		if over, err := q.dropStale(ctx, v); over || err != nil {
			return over, err
		}
	}
	keys, err := q.Keys.Signing(ctx, v.owner)
	if err != nil {
		return false, err
	}
	probe := v.state.allowed == 0
	if probe {
		if claimed, err := q.claimProbe(ctx, to, v.state); err != nil || !claimed {
			return false, err
		}
	}
	at := store.At(time.Now())
	result := q.Sender.Send(ctx, notify.Request{ID: v.id, URL: v.url, Body: v.body, Keys: keys})
	if ctx.Err() != nil && result.Class != notify.Delivered { // the process is stopping
		if probe {
			err = q.updateDestination(context.WithoutCancel(ctx), to, true, true, result) // allow another probe
		}
		return false, err
	}
	o := q.evaluate(v, at, result, store.At(time.Now()))
	if err := q.persist(ctx, func(ctx context.Context) error { return q.record(ctx, o) }); err != nil {
		return true, err
	}
	if v.event == CallbackTest {
		return true, nil
	}
	return true, q.persist(ctx,
		func(ctx context.Context) error { return q.updateDestination(ctx, to, v.state.stored, probe, result) })
}

// dropStale deletes a claimed progress delivery if its job has ended or its record was removed, and
// reports whether it did. The callback of the job's end waits while the delivery is claimed.
func (q *Queue) dropStale(ctx context.Context, v *attempt) (dropped bool, err error) {
	var status jobs.Status
	err = q.db.Keyed.QueryRowContext(ctx, `SELECT status FROM jobs WHERE id = $1`, v.jobID).Scan(&status)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("read job: %w", err)
	}
	if err == nil && !status.Done() {
		return false, nil
	}
	if _, err := q.db.Write.ExecContext(ctx,
		`DELETE FROM deliveries WHERE id = $1 AND COALESCE(claimed_by, '') = $2 AND claims = $3`,
		v.id, q.workerID, v.claim); err != nil {
		return false, fmt.Errorf("delete progress delivery: %w", err)
	}
	return true, nil
}
