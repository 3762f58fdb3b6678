package queue

import (
	"context"
	"errors"
	"fmt"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// pendingSave is the progress and log of a run that are about to be stored.
type pendingSave struct {
	run             *run
	id              notify.ID
	report          jobs.Report
	log             jobs.LogPart
	wantsCallback   bool // whether to create a progress callback
	callbackSettled bool // whether none is needed any more
}

func (r *run) pendingSave() *pendingSave {
	s := &pendingSave{run: r, id: r.last(), log: r.unsavedLog(), report: r.report()}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.wantsCallback = r.job.WantsProgress() && s.report.UpdatedAt != nil && s.report.UpdatedAt != r.lastCallback
	return s
}

// A savedRow is the new content of a job's row.
type savedRow struct {
	*pendingSave
	events, sequence uint64
}

var saveWriter = store.NewWriter(`UPDATE jobs SET progress = u.progress, log_lines = u.log_lines, events = u.events, callback_sequence = u.callback_sequence {from} WHERE jobs.id = u.id`,
	store.TextColumn("id", func(s savedRow) any { return s.run.job.ID }),
	store.TextColumn("progress", func(s savedRow) any { return store.JSON(&s.report) }),
	store.BigintColumn("log_lines", func(s savedRow) any { return s.log.Lines }),
	store.BigintColumn("events", func(s savedRow) any { return s.events }),
	store.BigintColumn("callback_sequence", func(s savedRow) any { return s.sequence }),
)

// saveRows writes the rows of the runs that still have their jobs. It returns the sequence numbers
// of their newest callbacks, by job id.
func (b *batch) saveRows(ctx context.Context, saves []*pendingSave) (sequences map[string]uint64, err error) {
	locked, err := b.lockRunRows(ctx, saves)
	if err != nil || len(locked) == 0 {
		return nil, err
	}
	var rows []savedRow
	sequences = make(map[string]uint64)
	for _, s := range saves {
		row, holds := locked[s.run.job.ID]
		if !holds {
			continue
		}
		if row.version == s.id.Version { // otherwise the row has changed, and these events precede the change
			row.events = s.id.N
		}
		if s.wantsCallback {
			row.sequence++
		}
		rows = append(rows, savedRow{s, row.events, row.sequence})
		sequences[s.run.job.ID] = row.sequence
		b.logs = append(b.logs, loggedPart{s.run.job.ID, s.log})
	}
	if _, err := saveWriter.Write(ctx, b.tx, rows); err != nil {
		return nil, fmt.Errorf("save progress: %w", err)
	}
	return sequences, nil
}

// A lockedRow contains columns of the row of a job whose run still has it.
type lockedRow struct{ version, events, sequence uint64 }

// lockRunRows locks the rows of the runs in the common lock order. It returns those whose runs
// still have their jobs, by job id.
func (b *batch) lockRunRows(ctx context.Context, saves []*pendingSave) (map[string]lockedRow, error) {
	var ids []string
	runs := make(map[string]string)
	for _, s := range saves {
		ids = append(ids, s.run.job.ID)
		runs[s.run.job.ID] = s.run.job.RunID
	}
	rows, err := b.tx.QueryContext(ctx, `SELECT jobs.id, coalesce(run_id, ''), status, version, events, callback_sequence FROM jobs
		WHERE jobs.id IN (SELECT value `+b.q.db.Elements()+`) ORDER BY jobs.id`+b.q.db.ForUpdate(), store.JSON(&ids))
	if err != nil {
		return nil, fmt.Errorf("lock runs: %w", err)
	}
	defer rows.Close()
	found := make(map[string]lockedRow)
	for rows.Next() {
		var id, runID string
		var status jobs.Status
		var row lockedRow
		if err := rows.Scan(&id, &runID, &status, &row.version, &row.events, &row.sequence); err != nil {
			return nil, fmt.Errorf("lock runs: %w", err)
		}
		if status == jobs.Running && runID == runs[id] {
			found[id] = row
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("lock runs: %w", err)
	}
	return found, nil
}

// deliverSaved adds a delivery of a run's progress, and reports whether it did.
func (b *batch) deliverSaved(ctx context.Context, s *pendingSave, sequence uint64) (delivered bool, err error) {
	job := s.run.job
	job.Progress, job.Version, job.Events, job.Requested.Sequence = s.report, s.id.Version, s.id.N, sequence
	job.Refresh()
	return b.deliverProgress(ctx, &job)
}
