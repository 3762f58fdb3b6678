package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// callbackInterval is the minimum time between two progress callbacks of a job.
const callbackInterval = time.Second

// deliverProgress adds a delivery of a running job's progress. If one is pending, its body is
// replaced: only the newest progress counts. It reports false if a delivery is in flight; the
// caller must then try again later.
func (b *batch) deliverProgress(ctx context.Context, j *jobs.Job) (delivered bool, err error) {
	body, err := b.callbackBody(j, jobs.JobProgress)
	if err != nil {
		return false, err
	}
	at := b.now
	var replaced []string
	rows, err := b.tx.QueryContext(ctx, `SELECT id, status, claimed_by IS NOT NULL, finished_at FROM deliveries WHERE job_id = $1 AND event = 'job.progress' ORDER BY id`+b.q.db.ForUpdate(), j.ID)
	if err != nil {
		return false, fmt.Errorf("read progress deliveries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, status string
		var claimed bool
		var finishedAt *store.Time
		if err := rows.Scan(&id, &status, &claimed, &finishedAt); err != nil {
			return false, fmt.Errorf("read progress deliveries: %w", err)
		}
		switch {
		case claimed:
			return false, nil
		case status == pending:
			rows.Close()
			return true, b.replaceProgress(ctx, id, body)
		case finishedAt != nil:
			at = later(store.At(finishedAt.Add(callbackInterval)), at.Time)
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
	return true, b.addDelivery(j, jobs.JobProgress, body, at)
}

func (b *batch) replaceProgress(ctx context.Context, id string, body []byte) error {
	if _, err := b.tx.ExecContext(ctx,
		`UPDATE deliveries SET body = $1, created_at = $2 WHERE id = $3`, body, b.now, id); err != nil {
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

// dropProgress deletes the pending progress deliveries of jobs that end. A delivery in flight makes
// the final callback wait.
func (b *batch) dropProgress(ctx context.Context) error {
	for _, id := range b.finishedWithProgress {
		if _, err := b.tx.ExecContext(ctx, `DELETE FROM deliveries WHERE job_id = $1 AND event = 'job.progress' AND status = 'pending' AND claimed_by IS NULL`, id); err != nil {
			return fmt.Errorf("delete pending progress: %w", err)
		}
	}
	return nil
}

const (
	// saveBatch is the maximum number of runs per transaction; more would delay other commits.
	saveBatch = 100
	// saveTime is the time over which several transactions are spread.
	saveTime = 800 * time.Millisecond
)

// saveReports writes the newest progress of this process's runs to their rows, for clients that
// poll, and creates progress callbacks where requested.
func (q *Queue) saveReports(ctx context.Context) error {
	q.mu.Lock()
	var dirty []*run
	for _, r := range q.runs {
		if r.unsaved() {
			dirty = append(dirty, r)
		}
	}
	q.mu.Unlock()
	dirty = inTurn(dirty, q.lastSaved)
	pause := saveTime * saveBatch / time.Duration(len(dirty)+1)
	for len(dirty) > 0 {
		n := min(len(dirty), saveBatch)
		q.lastSaved = dirty[n-1].job.ID // even if saving fails: then the others come first
		if err := q.saveBatch(ctx, dirty[:n]); err != nil {
			return err
		}
		if dirty = dirty[n:]; len(dirty) == 0 {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// inTurn sorts runs by job id and rotates them so that the first one follows the id after. A round
// that is cut short then does not leave out the same runs each time.
func inTurn(runs []*run, after string) []*run {
	slices.SortFunc(runs, func(a, b *run) int { return strings.Compare(a.job.ID, b.job.ID) })
	i, _ := slices.BinarySearchFunc(runs, after+"\x00",
		func(r *run, id string) int { return strings.Compare(r.job.ID, id) })
	return slices.Concat(runs[i:], runs[:i])
}

// saveBatch saves runs in one transaction.
func (q *Queue) saveBatch(ctx context.Context, dirty []*run) error {
	var saves []*pendingSave
	err := q.committer.commit(ctx, &change{alone: true, apply: func(ctx context.Context, b *batch) error {
		saves = saves[:0] // the change may be applied more than once
		for _, r := range dirty {
			saves = append(saves, r.pendingSave())
		}
		sequences, err := b.saveRows(ctx, saves)
		if err != nil {
			return err
		}
		for _, s := range saves {
			sequence, holds := sequences[s.run.job.ID]
			if s.callbackSettled = !holds; holds && s.wantsCallback { // a run that has lost its job reports no progress
				if s.callbackSettled, err = b.deliverSaved(ctx, s, sequence); err != nil {
					return err
				}
			}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	for _, s := range saves {
		s.run.mu.Lock()
		s.run.saved = s.id
		s.run.log.saved(s.log)
		if s.callbackSettled {
			s.run.lastCallback = s.report.UpdatedAt
		}
		s.run.mu.Unlock()
	}
	return nil
}

// unsaved reports whether the run has progress or log lines that are not stored yet.
func (r *run) unsaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n > 0 && (notify.ID{Version: r.version, N: r.n}) != r.saved || len(r.log.text) > 0 ||
		r.job.WantsProgress() && r.progress.UpdatedAt != r.lastCallback
}
