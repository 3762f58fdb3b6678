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
func (b *batch) tellProgress(ctx context.Context, j *Job) (told bool, err error) {
	body, err := b.callbackBody(j, JobProgress)
	if err != nil {
		return false, err
	}
	at := b.now
	var replaced []string
	rows, err := b.tx.QueryContext(ctx, `SELECT id, status, claimed_until, finished_at FROM deliveries WHERE job_id = $1 AND event = 'job.progress'`, j.ID)
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
		case claimedUntil != nil && claimedUntil.After(b.now.Time):
			return false, nil
		case status == pending && claimedUntil == nil:
			rows.Close()
			return true, b.replaceProgress(ctx, id, body)
		case finishedAt != nil:
			at = later(At(finishedAt.Add(callbackInterval)), at.Time)
		}
		replaced = append(replaced, id)
	}
	if err := rows.Err(); err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	for _, id := range replaced {
		if err := b.deleteDelivery(ctx, id); err != nil {
			return false, err
		}
	}
	return true, b.deliver(j, JobProgress, body, at)
}

func (b *batch) replaceProgress(ctx context.Context, id string, body []byte) error {
	if _, err := b.tx.ExecContext(ctx, `UPDATE deliveries SET body = $1, created_at = $2 WHERE id = $3`, body, b.now, id); err != nil {
		return fmt.Errorf("update progress delivery: %w", err)
	}
	return nil
}

func (b *batch) deleteDelivery(ctx context.Context, id string) error {
	for _, stmt := range []string{`DELETE FROM delivery_attempts WHERE delivery_id = $1`, `DELETE FROM deliveries WHERE id = $1`} {
		if _, err := b.tx.ExecContext(ctx, stmt, id); err != nil {
			return fmt.Errorf("delete delivery: %w", err)
		}
	}
	return nil
}

// dropProgress takes back what was not sent yet of jobs that end. What is being
// sent makes the last callback wait.
func (b *batch) dropProgress(ctx context.Context) error {
	for _, id := range b.dropped {
		if _, err := b.tx.ExecContext(ctx, `DELETE FROM deliveries WHERE job_id = $1 AND event = 'job.progress' AND status = 'pending' AND (claimed_until IS NULL OR claimed_until < $2)`, id, b.now); err != nil {
			return fmt.Errorf("drop progress: %w", err)
		}
	}
	return nil
}

// claimProgress marks progress as being sent and reads what is the newest. It
// reports false when the job has ended: then nothing is to be sent. Because it
// locks the job, the end comes either before it, or after it and sees it.
func (q *Queue) claimProgress(ctx context.Context, v *attempt) (claimed bool, err error) {
	err = q.committer.commit(ctx, &change{names: []string{v.jobID, v.id}, lock: v.jobID, apply: func(ctx context.Context, b *batch) error {
		job, err := b.job(v.jobID)
		claimed = false // it may be tried again
		if err != nil || job.Done {
			return b.deleteDelivery(ctx, v.id)
		}
		err = b.tx.QueryRowContext(ctx, `UPDATE deliveries SET claimed_until = $1 WHERE id = $2 AND status = 'pending' RETURNING body`, At(time.Now().Add(claimTime)), v.id).Scan(&v.body)
		if claimed = err == nil; !claimed && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("claim progress delivery: %w", err)
		}
		return nil
	}})
	return claimed, err
}

// unclaim lets others send progress that was not sent after all.
func (q *Queue) unclaim(ctx context.Context, v *attempt) error {
	if v.event != JobProgress {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	return q.committer.commit(ctx, &change{names: []string{v.jobID, v.id}, lock: v.jobID, lockOnly: true, apply: func(ctx context.Context, b *batch) error {
		if _, err := b.tx.ExecContext(ctx, `UPDATE deliveries SET claimed_until = NULL WHERE id = $1`, v.id); err != nil {
			return fmt.Errorf("unclaim progress delivery: %w", err)
		}
		return nil
	}})
}
