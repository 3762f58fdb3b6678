package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"coatcheck/notify"
)

const (
	// saveBatch is how many runs are saved by one transaction: more would hold
	// up what else is to be committed.
	saveBatch = 100
	// saveTime is the time over which several transactions are spread.
	saveTime = 800 * time.Millisecond
)

// saveReports writes the newest progress of this process's runs to their
// rows, for those who poll, and makes callbacks of it where they are wanted.
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
		last := dirty[n-1].job.ID
		if err := q.saveBatch(ctx, dirty[:n]); err != nil {
			return err
		}
		q.lastSaved = last
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

// inTurn sorts runs so that the first is the one after the id: a round that is
// cut short then does not leave out the same ones each time.
func inTurn(runs []*run, after string) []*run {
	slices.SortFunc(runs, func(a, b *run) int { return strings.Compare(a.job.ID, b.job.ID) })
	i, _ := slices.BinarySearchFunc(runs, after+"\x00", func(r *run, id string) int { return strings.Compare(r.job.ID, id) })
	return slices.Concat(runs[i:], runs[:i])
}

// saveBatch saves runs in one transaction.
func (q *Queue) saveBatch(ctx context.Context, dirty []*run) error {
	type done struct {
		id   notify.ID
		told *Time
		log  part
	}
	saved := make(map[*run]done)
	// In the order in which everybody locks rows.
	slices.SortFunc(dirty, func(a, b *run) int { return strings.Compare(a.job.ID, b.job.ID) })
	err := q.committer.commit(ctx, "", func(ctx context.Context, tx *sql.Tx) error {
		t := &transition{q: q, tx: tx, now: At(time.Now())}
		for _, r := range dirty {
			d := done{id: r.last(), log: r.unsavedLog()}
			report := r.report()
			told, err := t.saveReport(ctx, r, d.id, report, d.log)
			if err != nil {
				return err
			}
			if told {
				d.told = report.UpdatedAt
			}
			saved[r] = d
		}
		return nil
	})
	if err != nil {
		return err
	}
	for r, d := range saved {
		r.mu.Lock()
		r.saved = d.id
		r.said.saved(d.log)
		if d.told != nil {
			r.told = d.told
		}
		r.mu.Unlock()
	}
	return nil
}

// unsaved reports whether the run said something that its row does not know.
func (r *run) unsaved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n > 0 && (notify.ID{Version: r.version, N: r.n}) != r.saved || len(r.said.text) > 0 || r.job.wantsProgress() && r.progress.UpdatedAt != r.told
}

// saveReport writes a run's progress to its row, unless the run has lost its
// job, and reports whether it became a callback.
func (t *transition) saveReport(ctx context.Context, r *run, id notify.ID, report Report, log part) (told bool, err error) {
	r.mu.Lock()
	tell := r.job.wantsProgress() && report.UpdatedAt != nil && report.UpdatedAt != r.told
	r.mu.Unlock()
	job, sequence := r.job, 0
	if tell {
		sequence = 1
	}
	err = t.tx.QueryRowContext(ctx, `UPDATE jobs SET progress = $1, events = CASE WHEN version = $2 THEN $3 ELSE events END, callback_sequence = callback_sequence + $4, log_lines = $5
		WHERE id = $6 AND run_id = $7 AND status = 'running' RETURNING callback_sequence`,
		text[Report]{&report}, id.Version, id.N, sequence, log.lines, job.ID, job.runID).Scan(&job.callback.sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("save progress: %w", err)
	}
	if err := t.saveLog(ctx, job.ID, log); err != nil {
		return false, err
	}
	if !tell {
		return false, nil
	}
	job.Progress, job.version, job.events = report, id.Version, id.N
	job.refresh()
	return t.tellProgress(ctx, &job)
}
