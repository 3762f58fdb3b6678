package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

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
	type row struct {
		ID       string `json:"id"`
		RunID    string `json:"run_id"`
		Progress string `json:"progress"`
		Version  uint64 `json:"version"`
		Events   uint64 `json:"events"`
		Told     int    `json:"told"`
		Lines    uint64 `json:"lines"`
	}
	var rows []row
	logs := make(map[string]part)
	for _, s := range savings {
		progress, err := json.Marshal(s.report)
		if err != nil {
			return nil, fmt.Errorf("save progress: %w", err)
		}
		r := row{ID: s.run.job.ID, RunID: s.run.job.runID, Progress: string(progress), Version: s.id.Version, Events: s.id.N, Lines: s.log.lines}
		if s.tell {
			r.Told = 1
		}
		rows = append(rows, r)
		logs[r.ID] = s.log
	}
	elements := t.q.db.elements()
	if lock := t.q.db.forUpdate(); lock != "" { // an UPDATE locks in no order
		if _, err := t.tx.ExecContext(ctx, `SELECT id FROM jobs WHERE id IN (SELECT value ->> 'id' FROM `+elements+`) ORDER BY id`+lock, text[[]row]{&rows}); err != nil {
			return nil, fmt.Errorf("save progress: %w", err)
		}
	}
	saved, err := t.tx.QueryContext(ctx, `UPDATE jobs SET progress = value ->> 'progress', log_lines = CAST(value ->> 'lines' AS BIGINT),
		events = CASE WHEN version = CAST(value ->> 'version' AS BIGINT) THEN CAST(value ->> 'events' AS BIGINT) ELSE events END,
		callback_sequence = callback_sequence + CAST(value ->> 'told' AS INTEGER)
		FROM `+elements+` WHERE jobs.id = value ->> 'id' AND run_id = value ->> 'run_id' AND status = 'running' RETURNING jobs.id, callback_sequence`, text[[]row]{&rows})
	if err != nil {
		return nil, fmt.Errorf("save progress: %w", err)
	}
	defer saved.Close()
	sequences = make(map[string]uint64)
	for saved.Next() {
		var id string
		var sequence uint64
		if err := saved.Scan(&id, &sequence); err != nil {
			return nil, fmt.Errorf("save progress: %w", err)
		}
		sequences[id] = sequence
	}
	if err := errors.Join(saved.Err(), saved.Close()); err != nil {
		return nil, fmt.Errorf("save progress: %w", err)
	}
	maps.DeleteFunc(logs, func(id string, _ part) bool { _, holds := sequences[id]; return !holds })
	return sequences, t.saveLogs(ctx, logs)
}

// tellSaving makes a callback of a run's progress, and reports whether it did.
func (t *transition) tellSaving(ctx context.Context, s *saving, sequence uint64) (told bool, err error) {
	job := s.run.job
	job.Progress, job.version, job.events, job.callback.sequence = s.report, s.id.Version, s.id.N, sequence
	job.refresh()
	return t.tellProgress(ctx, &job)
}
