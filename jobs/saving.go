package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"coatcheck/notify"
)

// A saving is what the row of a run is about to know.
type saving struct {
	run    *run
	id     notify.ID
	report Report
	log    part
	tell   bool // the report shall become a callback
	told   bool // it need not, or has
}

func (r *run) saving() *saving {
	s := &saving{run: r, id: r.last(), log: r.unsavedLog(), report: r.report()}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.tell = r.job.wantsProgress() && s.report.UpdatedAt != nil && s.report.UpdatedAt != r.told
	return s
}

// saveRows writes to the rows of the runs that still have their jobs, by one
// statement for all. It returns the numbers of their newest callbacks, by the
// ids of their jobs.
func (t *transition) saveRows(ctx context.Context, savings []*saving) (sequences map[string]uint64, err error) {
	held, err := t.lockHeld(ctx, savings)
	if err != nil || len(held) == 0 {
		return nil, err
	}
	type row struct {
		ID       string `json:"id"`
		Progress string `json:"progress"`
		Events   uint64 `json:"events"`
		Sequence uint64 `json:"sequence"`
		Lines    uint64 `json:"lines"`
	}
	var rows []row
	logs := make(map[string]part)
	sequences = make(map[string]uint64)
	for _, s := range savings {
		h, holds := held[s.run.job.ID]
		if !holds {
			continue
		}
		progress, err := json.Marshal(s.report)
		if err != nil {
			return nil, fmt.Errorf("save progress: %w", err)
		}
		if h.version == s.id.Version { // else somebody has changed the row, and these events come before that
			h.events = s.id.N
		}
		if s.tell {
			h.sequence++
		}
		rows = append(rows, row{s.run.job.ID, string(progress), h.events, h.sequence, s.log.lines})
		logs[s.run.job.ID], sequences[s.run.job.ID] = s.log, h.sequence
	}
	if _, err := t.tx.ExecContext(ctx, `UPDATE jobs SET progress = value ->> 'progress', log_lines = CAST(value ->> 'lines' AS BIGINT),
		events = CAST(value ->> 'events' AS BIGINT), callback_sequence = CAST(value ->> 'sequence' AS BIGINT)
		FROM `+t.q.db.elements()+` WHERE jobs.id = value ->> 'id'`, text[[]row]{&rows}); err != nil {
		return nil, fmt.Errorf("save progress: %w", err)
	}
	return sequences, t.saveLogs(ctx, logs)
}

// A held is what the row of a job knows that its run has still.
type held struct{ version, events, sequence uint64 }

// lockHeld locks the rows of the runs, in the order in which everybody locks
// rows, and returns those whose runs still have their jobs.
func (t *transition) lockHeld(ctx context.Context, savings []*saving) (map[string]held, error) {
	type row struct {
		ID string `json:"id"`
	}
	var wanted []row
	runs := make(map[string]string)
	for _, s := range savings {
		wanted = append(wanted, row{s.run.job.ID})
		runs[s.run.job.ID] = s.run.job.runID
	}
	rows, err := t.tx.QueryContext(ctx, `SELECT jobs.id, coalesce(run_id, ''), status, version, events, callback_sequence FROM jobs
		WHERE jobs.id IN (SELECT value ->> 'id' FROM `+t.q.db.elements()+`) ORDER BY jobs.id`+t.q.db.forUpdate(), text[[]row]{&wanted})
	if err != nil {
		return nil, fmt.Errorf("lock runs: %w", err)
	}
	defer rows.Close()
	found := make(map[string]held)
	for rows.Next() {
		var id, runID string
		var status Status
		var h held
		if err := rows.Scan(&id, &runID, &status, &h.version, &h.events, &h.sequence); err != nil {
			return nil, fmt.Errorf("lock runs: %w", err)
		}
		if status == Running && runID == runs[id] {
			found[id] = h
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("lock runs: %w", err)
	}
	return found, nil
}

// tellSaving makes a callback of a run's progress, and reports whether it did.
func (t *transition) tellSaving(ctx context.Context, s *saving, sequence uint64) (told bool, err error) {
	job := s.run.job
	job.Progress, job.version, job.events, job.callback.sequence = s.report, s.id.Version, s.id.N, sequence
	job.refresh()
	return t.tellProgress(ctx, &job)
}
