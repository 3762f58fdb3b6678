package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"coatcheck/notify"
)

// A run is one attempt at a step of a job, in this process. It is the
// [Reporter] of its service.
type run struct {
	queue  *Queue
	job    Job // as it was when the run started
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	progress Report
	version  uint64    // of the row, which a cancel request raises
	n        uint64    // of the newest event
	saved    notify.ID // the newest event that the row knows
	told     *Time     // the newest progress that has become a callback
	pending  []event   // what is not published yet
	chunks   int       // of the output
	offset   int       // where the next one begins, in bytes
	said     said
	closed   bool
	wake     chan struct{} // nil until something is pending for the first time
	done     chan struct{}
}

// An event is what a run said, not published yet.
type event struct {
	name string
	data any
	lost uint64 // how many events before it were dropped
	// version is what the job has from this event on; 0 for no change.
	version uint64
}

const (
	// maxPending bounds what waits when Redis is slow. What is dropped then
	// takes an event id along, so that viewers see that something is missing.
	maxPending = 256
	// progressInterval is the least time between two progress events of a job.
	progressInterval = 100 * time.Millisecond
	maxMessage       = 1024
	maxLine          = 16 << 10
)

// Progress implements [Reporter].
func (r *run) Progress(percent float64, message string, data any) {
	if math.IsNaN(percent) {
		percent = 0
	}
	now := At(time.Now())
	report := Report{Percent: math.Round(r.job.overall(percent)*100) / 100, Message: clip(message, maxMessage), UpdatedAt: &now}
	if data != nil {
		b, err := json.Marshal(data)
		if err != nil || len(b) > maxLine {
			r.Log("warning", "the data of a progress report can't be sent: it is no JSON or too large")
		} else {
			report.Data = b
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.progress = report
	r.push("progress", struct {
		Type    string          `json:"type"`
		Percent float64         `json:"percent"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
		At      Time            `json:"at"`
	}{"progress", report.Percent, report.Message, report.Data, now})
}

// Log implements [Reporter].
func (r *run) Log(level, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	line, now := clip(line, maxLine), At(time.Now())
	r.push("log", struct {
		Type    string `json:"type"`
		Level   string `json:"level"`
		Message string `json:"message"`
		Line    uint64 `json:"line"`
		At      Time   `json:"at"`
	}{"log", level, line, r.said.add(now, level, line), now})
}

// Output implements [Reporter].
func (r *run) Output(chunk string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if chunk = strings.ToValidUTF8(chunk, "\uFFFD"); r.closed || chunk == "" {
		return
	}
	r.push("output", struct {
		Type   string `json:"type"`
		Index  int    `json:"index"`
		Offset int    `json:"offset"`
		Chunk  string `json:"chunk"`
	}{"output", r.chunks, r.offset, chunk})
	r.chunks++
	r.offset += len(chunk)
}

func clip(s string, most int) string {
	if len(s) > most {
		s = s[:most-len("…")] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// push adds an event to what is pending; progress takes the place of progress.
func (r *run) push(name string, data any) {
	if r.closed {
		return // a goroutine that outlives its service
	}
	e := event{name: name, data: data}
	switch last := len(r.pending) - 1; {
	case name == "progress" && last >= 0 && r.pending[last].name == name:
		e.lost = r.pending[last].lost
		r.pending[last] = e
	case len(r.pending) == maxPending:
		r.pending[1].lost += r.pending[0].lost + 1
		r.pending = append(r.pending[1:], e)
	default:
		r.pending = append(r.pending, e)
	}
	r.rouse()
}

// raise publishes a change of the job that left it to the run, between what
// the run says before and after it. It reports false when the run is over.
func (r *run) raise(version uint64, data any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.pending = append(r.pending, event{name: "status", data: data, version: version})
	r.rouse()
	return true
}

// rouse starts the publisher, or tells it that there is more.
func (r *run) rouse() {
	if r.wake == nil {
		r.wake, r.done = make(chan struct{}, 1), make(chan struct{})
		go r.publish()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// publish sends what is pending, in order, until the run is closed.
func (r *run) publish() {
	defer close(r.done)
	var lastProgress time.Time
	for {
		r.mu.Lock()
		if len(r.pending) == 0 {
			closed := r.closed
			r.mu.Unlock()
			if closed {
				return
			}
			<-r.wake
			continue
		}
		e := r.pending[0]
		if wait := time.Until(lastProgress.Add(progressInterval)); e.name == "progress" && wait > 0 && !r.closed {
			r.mu.Unlock()
			select {
			case <-time.After(wait):
			case <-r.wake: // perhaps closed, or a line behind the report
			}
			continue
		}
		r.pending = r.pending[1:]
		r.mu.Unlock()
		if e.name == "progress" {
			lastProgress = time.Now()
		}
		r.send(e)
	}
}

// send publishes an event with the next id. When a later one is there already,
// and yet the run has its job, another process has changed the row: the event
// comes after that change then.
func (r *run) send(e event) {
	data, err := json.Marshal(e.data)
	for attempt := 0; err == nil && attempt < 2; attempt++ {
		id, prev := r.next(e)
		err = r.queue.Events.Publish(context.Background(), r.job.ID, notify.Event{ID: id, Prev: prev, Name: e.name, Data: data})
		if !errors.Is(err, notify.ErrStale) {
			break
		}
		version, holds := r.queue.heldVersion(r.job.ID, r.job.runID)
		if !holds {
			break
		}
		r.mu.Lock()
		changed := version > r.version
		if changed {
			r.version, r.n = version, 0
		}
		r.mu.Unlock()
		if !changed {
			break
		}
		e.version, err = 0, nil
	}
	if err != nil {
		r.queue.Logger.Debug("event not published", "job", r.job.ID, "event", e.name, "err", err)
	}
}

// next returns the id of the next event, and the one before.
func (r *run) next(e event) (id, prev notify.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	prev = notify.ID{Version: r.version, N: r.n + e.lost}
	if e.version > r.version {
		r.version, r.n = e.version, 0
	} else {
		r.n = prev.N + 1
	}
	return notify.ID{Version: r.version, N: r.n}, prev
}

// heldVersion returns the version of a job's row while the run has the job.
func (q *Queue) heldVersion(id, runID string) (version uint64, holds bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := q.db.read.QueryRowContext(ctx, `SELECT version FROM jobs WHERE id = $1 AND run_id = $2 AND status = 'running'`, id, runID).Scan(&version)
	return version, err == nil
}

// close publishes what is pending and takes no more.
func (r *run) close() {
	r.mu.Lock()
	r.closed = true
	done := r.done
	if r.wake != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}

// last returns the id of the run's newest event.
func (r *run) last() notify.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return notify.ID{Version: r.version, N: r.n}
}

// report returns the newest progress.
func (r *run) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.UpdatedAt == nil {
		return r.job.Progress
	}
	return r.progress
}

// track remembers a run of this process.
func (q *Queue) track(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.runs[r.job.ID] = r
}

// runOf returns the run that has the job, if it is in this process.
func (q *Queue) runOf(j *Job) *run {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.runs[j.ID]; r != nil && r.job.runID == j.runID {
		return r
	}
	return nil
}

// untrack forgets it, unless the job has a newer run here already.
func (q *Queue) untrack(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs[r.job.ID] == r {
		delete(q.runs, r.job.ID)
	}
}

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
	if len(dirty) == 0 {
		return nil
	}
	// In the order in which everybody locks rows.
	slices.SortFunc(dirty, func(a, b *run) int { return strings.Compare(a.job.ID, b.job.ID) })
	type done struct {
		id   notify.ID
		told *Time
		log  part
	}
	saved := make(map[*run]done)
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
