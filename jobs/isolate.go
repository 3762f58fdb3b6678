package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"
)

// maxIsolated is how many jobs of a process run each in a process of its own.
const maxIsolated = 16

// maxIsolatedLine bounds a message of such a process: an output as JSON.
const maxIsolatedLine = maxOutput + 1<<20

// suspect reports whether the job's worker was lost while it ran the job: the
// job may have crashed it. A suspect runs in a process of its own, so that a crash
// affects no other job, until the step is done.
func (j *Job) suspect() bool { return j.recoveries > 0 }

// isolate runs the service in a process of its own and waits for it. When that
// process dies, the failure's code is worker_lost. A process that does not end
// is killed CancelGrace after ctx is done.
func (w *worker) isolate(ctx context.Context, r *run, input json.RawMessage) result {
	cmd, err := w.queue.Isolate(ctx)
	if err != nil {
		return failing(codeNotStarted, "no process to run the job alone: %s", err)
	}
	grace := w.queue.CancelGrace
	request := isolatedRun{Service: w.service.Name, Input: input, JobID: r.job.ID, RunID: r.job.runID, Grace: grace}
	if deadline, ok := ctx.Deadline(); ok {
		request.Timeout = time.Until(deadline)
	}
	text, err := json.Marshal(request)
	if err != nil {
		return failing(codeInvalidInput, "invalid input: %s", err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return failing(codeNotStarted, "no process to run the job alone: %s", err)
	}
	listener := &isolatedListener{run: r, mark: isolatedMark(r.job.runID), panicked: func(p isolatedPanic) { w.logPanic(ctx, r, p.Text, p.Stack) }}
	cmd.Stdout = listener
	var writers sync.WaitGroup
	cmd.Cancel = func() error { // it must not wait for the process to read
		writers.Go(func() { _, _ = io.WriteString(stdin, isolatedStop) })
		return nil
	}
	cmd.WaitDelay = grace + time.Second
	if err := cmd.Start(); err != nil {
		return failing(codeNotStarted, "no process to run the job alone: %s", err)
	}
	writers.Go(func() { _, _ = stdin.Write(append(text, '\n')) }) // an error shows as a process without a result
	err = cmd.Wait()                                              // closes stdin, so that the writers end
	writers.Wait()
	switch {
	case listener.result != nil:
		return *listener.result
	case ctx.Err() != nil:
		return failing(codeFailed, "the service did not stop and was killed")
	case err == nil:
		err = errors.New("exit status 0")
	}
	return failing(codeWorkerLost, "the process that ran the job alone ended: %s", err)
}

// isolatedStop is what tells an isolated process to stop. When its standard input
// ends without, the server is gone.
const isolatedStop = "stop\n"

// An isolatedRun is what a process that runs one service alone reads.
type isolatedRun struct {
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input"`
	JobID   string          `json:"job_id"`
	RunID   string          `json:"run_id"`
	Timeout time.Duration   `json:"timeout"`
	Grace   time.Duration   `json:"grace"`
}

// isolatedMark returns what each message of an isolated process begins with.
// Other code in the process may write to the same standard output, even JSON.
func isolatedMark(runID string) []byte { return []byte(runID + " ") }

// An isolatedMessage is what such a process writes, one on a line after the
// mark: a report of the service, or at last the result.
type isolatedMessage struct {
	Progress *isolatedProgress `json:"progress,omitempty"`
	Log      *isolatedLog      `json:"log,omitempty"`
	Output   []byte            `json:"output,omitempty"` // perhaps a part of a character
	Panic    *isolatedPanic    `json:"panic,omitempty"`
	Result   *result           `json:"result,omitempty"`
}

type isolatedProgress struct {
	Percent float64         `json:"percent"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

type isolatedLog struct {
	Level string `json:"level"`
	Line  string `json:"line"`
}

type isolatedPanic struct {
	Text  string `json:"text"`
	Stack string `json:"stack"`
}

// An isolatedListener hands on what an isolated process writes. Lines that are
// not messages, such as what a library prints, are ignored, however long.
type isolatedListener struct {
	run      *run
	mark     []byte
	panicked func(isolatedPanic)
	line     []byte
	skip     bool // the rest of the line, which is too long
	result   *result
}

// Write implements [io.Writer].
func (l *isolatedListener) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, complete := bytes.Cut(rest, []byte("\n"))
		if l.skip = l.skip || len(l.line)+len(part) > maxIsolatedLine; !l.skip {
			l.line = append(l.line, part...)
		}
		if complete {
			if !l.skip {
				l.take(l.line)
			}
			l.line, l.skip = l.line[:0], false
		}
		rest = after
	}
	return len(p), nil
}

func (l *isolatedListener) take(line []byte) {
	var m isolatedMessage
	text, ok := bytes.CutPrefix(line, l.mark)
	if l.result != nil || !ok || json.Unmarshal(text, &m) != nil {
		return
	}
	switch {
	case m.Progress != nil && m.Progress.Data != nil:
		l.run.Progress(m.Progress.Percent, m.Progress.Message, m.Progress.Data)
	case m.Progress != nil:
		l.run.Progress(m.Progress.Percent, m.Progress.Message, nil)
	case m.Log != nil:
		l.run.Log(m.Log.Level, m.Log.Line)
	case m.Output != nil:
		l.run.Output(string(m.Output))
	case m.Panic != nil:
		l.panicked(*m.Panic)
	case m.Result != nil:
		l.result = m.Result
	}
}
