package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"coatcheck/notify"
)

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
