package queue

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"strings"
	"sync"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A run is one attempt at a step of a job, in this process. It implements [jobs.Reporter] for its
// service.
type run struct {
	queue  *Queue
	job    jobs.Job // as of the start of the run
	cancel context.CancelCauseFunc
	began  time.Time
	files  *files.Run // nil if this server stores no files
	// fetched are the files of the input that the run has downloaded, by their ids.
	fetched map[string]jobs.File

	mu           sync.Mutex // guards the fields below
	progress     jobs.Report
	version      uint64      // of the row; a cancel request raises it
	n            uint64      // number of the newest event in its version
	saved        notify.ID   // the newest event that is stored in the row
	lastCallback *store.Time // time of the newest progress for which a callback was created
	pending      []event     // not published yet
	bytes        int         // size of the output in pending
	chunks       int         // number of output chunks so far
	offset       int         // byte offset of the next chunk
	unfinished   string      // first bytes of a character that is not complete yet
	log          logBuffer
	closed       bool
	wake         chan struct{} // nil until the first event is pending
	done         chan struct{}
}

// An event is an event of a run that is not published yet.
type event struct {
	name string
	data any
	lost uint64 // number of events that were dropped before it
	size int    // of its output, in bytes
	// version is the new version of the job from this event on; 0 for no change.
	version uint64
}

const (
	// maxPending limits the pending events while Redis is slow. Dropped events still use up event
	// ids, so that viewers detect the gap.
	maxPending = 256
	// maxPendingBytes limits the pending output.
	maxPendingBytes = jobs.DefaultMaxOutput
	// outputRate limits the output that a job publishes, in bytes per second, to leave capacity for
	// the events of other jobs.
	outputRate = 8 << 20
	// progressInterval is the minimum time between two progress events of a job.
	progressInterval = 100 * time.Millisecond
)

// Progress implements [jobs.Reporter].
func (r *run) Progress(percent float64, message string, data any) {
	if math.IsNaN(percent) {
		percent = 0
	}
	now := store.At(time.Now())
	report := jobs.Report{
		Percent: math.Round(r.job.Overall(percent)*100) / 100, Message: jobs.Clip(message, jobs.MaxMessage), UpdatedAt: &now,
	}
	var ok bool
	if report.Data, ok = jobs.EncodeProgress(data); !ok {
		r.Log("warning", jobs.BadProgressData)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.progress = report
	r.push(event{name: "progress", data: struct {
		Type    string          `json:"type"`
		Percent float64         `json:"percent"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
		At      store.Time      `json:"at"`
	}{"progress", report.Percent, report.Message, report.Data, now}})
}

// Log implements [jobs.Reporter].
func (r *run) Log(level, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	line, now := jobs.Clip(line, jobs.MaxLine), store.At(time.Now())
	r.push(event{name: "log", data: struct {
		Type    string     `json:"type"`
		Level   string     `json:"level"`
		Message string     `json:"message"`
		Line    uint64     `json:"line"`
		At      store.Time `json:"at"`
	}{"log", level, line, r.log.add(now, level, line), now}})
}

// Output implements [jobs.Reporter]. A character whose bytes arrive in several chunks is sent whole,
// with its last byte.
func (r *run) Output(chunk string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || chunk == "" {
		return
	}
	text := r.unfinished + chunk
	text, r.unfinished = jobs.CutUnfinished(text)
	r.pushOutput(text)
}

// pushOutput pushes events for a part of the output.
func (r *run) pushOutput(text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for len(text) > 0 {
		chunk := text
		if len(chunk) > jobs.MaxChunk {
			chunk, _ = jobs.CutUnfinished(chunk[:jobs.MaxChunk])
		}
		text = text[len(chunk):]
		r.push(event{name: "output", size: len(chunk), data: struct {
			Type   string `json:"type"`
			Index  int    `json:"index"`
			Offset int    `json:"offset"`
			Chunk  string `json:"chunk"`
		}{"output", r.chunks, r.offset, chunk}})
		r.chunks++
		r.offset += len(chunk)
	}
}

// push adds a pending event. Progress replaces a pending progress event that is the newest. r.mu
// must be held.
func (r *run) push(e event) {
	if r.closed {
		return // a goroutine that outlives its service
	}
	if last := len(r.pending) - 1; e.name == "progress" && last >= 0 && r.pending[last].name == e.name {
		e.lost = r.pending[last].lost
		r.pending[last] = e
	} else {
		r.pending = append(r.pending, e)
		r.bytes += e.size
	}
	for len(r.pending) > maxPending || r.bytes > maxPendingBytes {
		r.pending[1].lost += r.pending[0].lost + 1
		r.bytes -= r.pending[0].size
		r.pending[0] = event{}
		r.pending = r.pending[1:]
	}
	r.wakePublisher()
}

// context returns the context for the run's service.
func (r *run) context(ctx context.Context) context.Context {
	if r.files != nil {
		ctx = jobs.WithFileStore(ctx, r.files)
	}
	return jobs.WithReporter(jobs.WithRun(ctx, r.id()), r)
}

// inputFiles returns the files of the input, by the ids that stand for them in it.
func (r *run) inputFiles() map[string]jobs.File {
	if len(r.fetched) == 0 {
		return r.job.Uploads
	}
	all := maps.Clone(r.fetched)
	maps.Copy(all, r.job.Uploads)
	return all
}

func (r *run) id() jobs.Run {
	return jobs.Run{JobID: r.job.ID, RunID: r.job.RunID, Attempt: r.job.Attempt, Uploads: r.inputFiles(), MaxOutput: r.queue.MaxOutput}
}

// last returns the id of the run's newest event.
func (r *run) last() notify.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return notify.ID{Version: r.version, N: r.n}
}

// report returns the newest progress.
func (r *run) report() jobs.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress.UpdatedAt == nil {
		return r.job.Progress
	}
	return r.progress
}

// track registers a run of this process.
func (q *Queue) track(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.runs[r.job.ID] = r
}

// runOf returns the run that has the job, if it is in this process.
func (q *Queue) runOf(j *jobs.Job) *run {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.runs[j.ID]; r != nil && r.job.RunID == j.RunID {
		return r
	}
	return nil
}

// untrack unregisters a run, unless the job already has a newer run here.
func (q *Queue) untrack(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.runs[r.job.ID] == r {
		delete(q.runs, r.job.ID)
	}
}
