package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// callbackInterval is the least time between two callbacks that tell of a
	// job's progress.
	callbackInterval = time.Second
	// claimTime is for how long progress may be under way: longer than an
	// attempt takes.
	claimTime = 90 * time.Second
	// progressPoll is how often what comes behind progress that is being sent
	// looks again.
	progressPoll = 100 * time.Millisecond
)

// wantsProgress reports whether the submitter wants to be called back with
// the job's progress.
func (j *Job) wantsProgress() bool {
	return j.callback.url != "" && slices.Contains(j.callback.events, JobProgress)
}

// tellProgress makes a delivery of a running job's progress, or puts it in the
// place of the one that waits: only the newest counts. It reports whether it
// did; while one is being sent, it must be tried again later.
func (t *transition) tellProgress(ctx context.Context, j *Job) (told bool, err error) {
	body, err := t.callbackBody(j, JobProgress)
	if err != nil {
		return false, err
	}
	at := t.now
	var replaced []string
	rows, err := t.tx.QueryContext(ctx, `SELECT id, status, claimed_until, finished_at FROM deliveries WHERE job_id = $1 AND event = 'job.progress'`, j.ID)
	if err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, status string
		var claimedUntil, finishedAt *Time
		if err := rows.Scan(&id, &status, &claimedUntil, &finishedAt); err != nil {
			return false, fmt.Errorf("read progress deliveries: %w", err)
		}
		switch {
		case claimedUntil != nil && claimedUntil.After(t.now.Time):
			return false, nil
		case status == pending && claimedUntil == nil:
			rows.Close()
			return true, t.replaceProgress(ctx, id, body)
		case finishedAt != nil:
			at = later(At(finishedAt.Add(callbackInterval)), at.Time)
		}
		replaced = append(replaced, id)
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	for _, id := range replaced {
		if err := t.deleteDelivery(ctx, id); err != nil {
			return false, err
		}
	}
	return true, t.deliver(ctx, j, JobProgress, body, at)
}

func (t *transition) replaceProgress(ctx context.Context, id string, body []byte) error {
	if _, err := t.tx.ExecContext(ctx, `UPDATE deliveries SET body = $1, created_at = $2 WHERE id = $3`, body, t.now, id); err != nil {
		return fmt.Errorf("update progress delivery: %w", err)
	}
	return nil
}

func (t *transition) deleteDelivery(ctx context.Context, id string) error {
	for _, stmt := range []string{`DELETE FROM delivery_attempts WHERE delivery_id = $1`, `DELETE FROM deliveries WHERE id = $1`} {
		if _, err := t.tx.ExecContext(ctx, stmt, id); err != nil {
			return fmt.Errorf("delete delivery: %w", err)
		}
	}
	return nil
}

// dropProgress takes back what was not sent yet when the job ends. What is
// being sent makes the last callback wait.
func (t *transition) dropProgress(ctx context.Context, j *Job) error {
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM deliveries WHERE job_id = $1 AND event = 'job.progress' AND status = 'pending' AND (claimed_until IS NULL OR claimed_until < $2)`, j.ID, t.now); err != nil {
		return fmt.Errorf("drop progress: %w", err)
	}
	return nil
}

// claimProgress marks progress as being sent and reads what is the newest. It
// reports false when the job has ended: then nothing is to be sent. Because it
// locks the job, the end comes either before it, or after it and sees it.
func (q *Queue) claimProgress(ctx context.Context, v *attempt) (claimed bool, err error) {
	err = q.committer.commit(ctx, v.jobID, func(ctx context.Context, tx *sql.Tx) error {
		job, err := q.lockJob(ctx, tx, v.jobID)
		if errors.Is(err, ErrNotFound) || err == nil && job.Done {
			t := &transition{q: q, tx: tx}
			return t.deleteDelivery(ctx, v.id)
		}
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `UPDATE deliveries SET claimed_until = $1 WHERE id = $2 AND status = 'pending' RETURNING body`, At(time.Now().Add(claimTime)), v.id).Scan(&v.body)
		if claimed = err == nil; !claimed && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("claim progress delivery: %w", err)
		}
		return nil
	})
	return claimed, err
}

// unclaim lets others send progress that was not sent after all.
func (q *Queue) unclaim(ctx context.Context, v *attempt) error {
	if v.event != JobProgress {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	return q.committer.commit(ctx, v.jobID, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE deliveries SET claimed_until = NULL WHERE id = $1`, v.id); err != nil {
			return fmt.Errorf("unclaim progress delivery: %w", err)
		}
		return nil
	})
}
