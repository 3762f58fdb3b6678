// Package isolated runs a service in a process of its own, for a job that may have killed its worker.
// The two processes talk over the standard input and output of the new one.
package isolated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sync"
	"time"

	"coatcheck/jobs"
)

// Options are those of an isolated run.
type Options struct {
	Service string
	Input   json.RawMessage
	Run     jobs.Run
	// Reporter receives the reports of the service, and Panicked the text and the stack of a panic.
	Reporter jobs.Reporter
	Panicked func(text, stack string)
	// Grace is how long the process may take to exit after the context is done. Then it is killed.
	Grace time.Duration
	// MaxOutput is the maximum size of an output in bytes.
	MaxOutput int
}

// Start runs a service in the process of a command that calls [Run], and waits for it. If that
// process dies, the failure's code is worker_lost.
func Start(ctx context.Context, cmd *exec.Cmd, o Options) jobs.Result {
	request := isolatedRun{Service: o.Service, Input: o.Input, Run: o.Run, Grace: o.Grace}
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
		reporter: o.Reporter, panicked: o.Panicked, mark: isolatedMark(o.Run.RunID), limit: o.MaxOutput + 1<<20,
	}
	cmd.Stdout = listener
	var writers sync.WaitGroup
	cmd.Cancel = func() error { // must not wait for the process to read
		writers.Go(func() { _, _ = io.WriteString(stdin, isolatedStop) })
		return nil
	}
	cmd.WaitDelay = o.Grace + time.Second
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
	reporter jobs.Reporter
	mark     []byte
	limit    int // maximum size of a message in bytes: that of an output, and its frame
	panicked func(text, stack string)
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
		l.reporter.Progress(m.Progress.Percent, m.Progress.Message, m.Progress.Data)
	case m.Progress != nil:
		l.reporter.Progress(m.Progress.Percent, m.Progress.Message, nil)
	case m.Log != nil:
		l.reporter.Log(m.Log.Level, m.Log.Line)
	case m.Output != nil:
		l.reporter.Output(string(m.Output))
	case m.Panic != nil:
		l.panicked(m.Panic.Text, m.Panic.Stack)
	case m.Result != nil:
		l.result = m.Result
	}
}
