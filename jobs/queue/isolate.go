package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"coatcheck/jobs"
)

// maxIsolated is the maximum number of isolated runs per process.
const maxIsolated = 16

// isolate runs the service in an isolated process and waits for it. If that process dies, the
// failure's code is worker_lost. A process that does not exit is killed CancelGrace after ctx is
// done.
func (w *worker) isolate(ctx context.Context, r *run, input json.RawMessage) jobs.Result {
	cmd, err := w.queue.Isolate(ctx)
	if err != nil {
		return jobs.Fail(jobs.CodeNotStarted, "no process to run the job alone: %s", err)
	}
	grace := w.queue.CancelGrace
	request := isolatedRun{Service: w.service.Name, Input: input, Run: r.id(), Grace: grace}
	if deadline, ok := ctx.Deadline(); ok {
		request.Timeout = time.Until(deadline)
	}
	text, err := json.Marshal(request)
	if err != nil {
		return jobs.Fail(jobs.CodeInvalidInput, "invalid input: %s", err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return jobs.Fail(jobs.CodeNotStarted, "no process to run the job alone: %s", err)
	}
	listener := &isolatedListener{
		run: r, mark: isolatedMark(r.job.RunID), limit: w.queue.MaxOutput + 1<<20,
		panicked: func(p isolatedPanic) { w.logPanic(ctx, r, p.Text, p.Stack) },
	}
	cmd.Stdout = listener
	var writers sync.WaitGroup
	cmd.Cancel = func() error { // must not wait for the process to read
		writers.Go(func() { _, _ = io.WriteString(stdin, isolatedStop) })
		return nil
	}
	cmd.WaitDelay = grace + time.Second
	if err := cmd.Start(); err != nil {
		return jobs.Fail(jobs.CodeNotStarted, "no process to run the job alone: %s", err)
	}
	writers.Go(func() { _, _ = stdin.Write(append(text, '\n')) }) // an error shows up as a process without a result
	err = cmd.Wait()                                              // closes stdin, so that the writers end
	writers.Wait()
	switch {
	case listener.result != nil:
		return *listener.result
	case ctx.Err() != nil:
		return jobs.Fail(jobs.CodeFailed, "the service did not stop and was killed")
	case err == nil:
		err = errors.New("exit status 0")
	}
	return jobs.Fail(jobs.CodeWorkerLost, "the process that ran the job alone ended: %s", err)
}

// isolatedStop is the line that tells an isolated process to stop. If its standard input ends
// without this line, the server is gone.
const isolatedStop = "stop\n"

// An isolatedRun is the request that an isolated process reads.
type isolatedRun struct {
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input"`
	jobs.Run
	Timeout time.Duration `json:"timeout"`
	Grace   time.Duration `json:"grace"`
}

// isolatedMark returns the prefix of each message of an isolated process. Other code in the process
// may write to the same standard output, even JSON.
func isolatedMark(runID string) []byte { return []byte(runID + " ") }

// An isolatedMessage is a message that an isolated process writes, as one line after the mark: a
// report of the service, or finally the result.
type isolatedMessage struct {
	Progress *isolatedProgress `json:"progress,omitempty"`
	Log      *isolatedLog      `json:"log,omitempty"`
	Output   []byte            `json:"output,omitempty"` // may end within a UTF-8 sequence
	Panic    *isolatedPanic    `json:"panic,omitempty"`
	Result   *jobs.Result      `json:"result,omitempty"`
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

// An isolatedListener forwards the messages of an isolated process. It ignores lines that are not
// messages, such as the output of a library, however long they are.
type isolatedListener struct {
	run      *run
	mark     []byte
	limit    int // maximum size of a message in bytes: that of an output, and its frame
	panicked func(isolatedPanic)
	line     []byte
	skip     bool // whether to skip the rest of the line, which is too long
	result   *jobs.Result
}

// Write implements [io.Writer].
func (l *isolatedListener) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, complete := bytes.Cut(rest, []byte("\n"))
		if l.skip = l.skip || len(l.line)+len(part) > l.limit; !l.skip {
			l.line = append(l.line, part...)
		}
		if complete {
			if !l.skip {
				l.handleLine(l.line)
			}
			l.line, l.skip = l.line[:0], false
		}
		rest = after
	}
	return len(p), nil
}

func (l *isolatedListener) handleLine(line []byte) {
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
