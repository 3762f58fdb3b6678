package jobs

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"coatcheck/notify"
)

// A run is one attempt at a step of a job, in this process. It is the
// [Reporter] of its service.
type run struct {
	queue  *Queue
	job    Job // as it was when the run started
	cancel context.CancelCauseFunc
	began  time.Time

	mu         sync.Mutex
	progress   Report
	version    uint64    // of the row, which a cancel request raises
	n          uint64    // of the newest event
	saved      notify.ID // the newest event that the row knows
	told       *Time     // the newest progress that has become a callback
	pending    []event   // what is not published yet
	bytes      int       // of output in pending
	chunks     int       // of the output
	offset     int       // where the next one begins, in bytes
	unfinished string    // the first bytes of a character whose last bytes have not come
	said       said
	closed     bool
	wake       chan struct{} // nil until something is pending for the first time
	done       chan struct{}
}

// An event is what a run said, not published yet.
type event struct {
	name string
	data any
	lost uint64 // how many events before it were dropped
	size int    // of the output in it, in bytes
	// version is what the job has from this event on; 0 for no change.
	version uint64
}

const (
	// maxPending bounds what waits when Redis is slow. What is dropped then
	// takes an event id along, so that viewers see that something is missing.
	maxPending = 256
	// maxPendingBytes bounds the output that waits.
	maxPendingBytes = maxOutput
	// outputRate is how many bytes of output a job publishes in a second, so
	// that it leaves room for others on their way to viewers.
	outputRate = 8 << 20
	// progressInterval is the least time between two progress events of a job.
	progressInterval = 100 * time.Millisecond
	maxMessage       = 1024
	maxLine          = 16 << 10
	// maxChunk is how many bytes of output an event has at most.
	maxChunk = 64 << 10
)

// Progress implements [Reporter].
func (r *run) Progress(percent float64, message string, data any) {
	if math.IsNaN(percent) {
		percent = 0
	}
	now := At(time.Now())
	report := Report{Percent: math.Round(r.job.overall(percent)*100) / 100, Message: clip(message, maxMessage), UpdatedAt: &now}
	var ok bool
	if report.Data, ok = progressData(data); !ok {
		r.Log("warning", badProgressData)
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
		At      Time            `json:"at"`
	}{"progress", report.Percent, report.Message, report.Data, now}})
}

const badProgressData = "the data of a progress report can't be sent: it is no JSON or too large"

// progressData returns the data of a report as JSON; nil for none.
func progressData(data any) (text json.RawMessage, ok bool) {
	if data == nil {
		return nil, true
	}
	text, err := json.Marshal(data)
	if err != nil || len(text) > maxLine {
		return nil, false
	}
	return text, true
}

// Log implements [Reporter].
func (r *run) Log(level, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	line, now := clip(line, maxLine), At(time.Now())
	r.push(event{name: "log", data: struct {
		Type    string `json:"type"`
		Level   string `json:"level"`
		Message string `json:"message"`
		Line    uint64 `json:"line"`
		At      Time   `json:"at"`
	}{"log", level, line, r.said.add(now, level, line), now}})
}

// Output implements [Reporter]. A character whose bytes come in several chunks
// is sent whole, with the last of them.
func (r *run) Output(chunk string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || chunk == "" {
		return
	}
	text := r.unfinished + chunk
	text, r.unfinished = cutUnfinished(text)
	r.pushOutput(text)
}

// pushOutput adds events for a part of the output.
func (r *run) pushOutput(text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for len(text) > 0 {
		chunk := text
		if len(chunk) > maxChunk {
			chunk, _ = cutUnfinished(chunk[:maxChunk])
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

// cutUnfinished cuts the bytes off the end of a text that begin a character and
// do not end it.
func cutUnfinished(s string) (text, unfinished string) {
	for i := len(s) - 1; i >= max(0, len(s)-utf8.UTFMax); i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRuneInString(s[i:]) {
				return s[:i], s[i:]
			}
			break
		}
	}
	return s, ""
}

// clip cuts a text at a character's border to at most so many bytes, and
// replaces what is not UTF-8.
func clip(s string, most int) string {
	if len(s) > most {
		s, _ = cutUnfinished(s[:most-len("…")])
		s += "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// push adds an event to what is pending; progress takes the place of progress.
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
	r.rouse()
}

func (r *run) ids() (job, run string) { return r.job.ID, r.job.runID }

func (r *run) attempt() int { return r.job.Attempt }

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
