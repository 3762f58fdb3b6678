package isolated

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/store"
)

// Run runs one service in this process, which [Start] has started. It reads the
// request from in, stores files in stored unless that is nil, and writes the service's reports and its
// result to out. The process should exit afterwards, even after an error: if in ends, the server is
// gone, and another run may begin.
func Run(
	ctx context.Context, services *jobs.Registry, stored files.Store, in io.Reader, out io.Writer,
) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	var request isolatedRun
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	service := services.Get(request.Service)
	if service == nil {
		return jobs.ErrUnknownService
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout)
	defer cancel()
	gone := make(chan struct{})
	go func() { // runs until the process exits
		if line, _ := lines.ReadString('\n'); line == isolatedStop {
			cancel()
		} else {
			close(gone)
		}
	}()
	r := &isolatedReporter{out: out, run: request.RunID}
	ctx = jobs.WithReporter(jobs.WithRun(ctx, request.Run), r)
	var saved *files.Run
	if stored != nil {
		saved = files.NewRun(stored)
		ctx = jobs.WithFileStore(ctx, saved)
	}
	done := make(chan jobs.Result, 1)
	go func() { // runs until the process exits
		done <- service.Run(ctx, request.Input, request.Grace, func(text string, stack []byte) {
			r.send(isolatedMessage{Panic: &isolatedPanic{text, string(stack)}})
		})
	}()
	var res jobs.Result
	select {
	case res = <-done:
	case <-gone:
		return errors.New("the server that started this process is gone")
	}
	res.Returned = nil
	if saved != nil {
		if err := saved.DeleteExcept(context.WithoutCancel(ctx), request.JobID, res.File); err != nil {
			return err
		}
	}
	r.send(isolatedMessage{Result: &res})
	return r.err
}

// An isolatedReporter is the [jobs.Reporter] of a service in an isolated process.
type isolatedReporter struct {
	run string // id of the run

	mu  sync.Mutex // guards out and err
	out io.Writer
	err error // the first error; nothing is written after it
}

func (r *isolatedReporter) send(m isolatedMessage) {
	text, err := store.Marshal(m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.err == nil {
		// The leading newline terminates a partial line that other code may have written.
		_, err = r.out.Write(slices.Concat([]byte("\n"), isolatedMark(r.run), text, []byte("\n")))
	}
	r.err = cmp.Or(r.err, err)
}

// Progress implements [jobs.Reporter].
func (r *isolatedReporter) Progress(percent float64, message string, data any) {
	if math.IsNaN(percent) {
		percent = 0
	}
	p := &isolatedProgress{Percent: min(max(percent, 0), 100), Message: jobs.Clip(message, jobs.MaxMessage)}
	var ok bool
	if p.Data, ok = jobs.EncodeProgress(data); !ok {
		r.Log("warning", jobs.BadProgressData)
	}
	r.send(isolatedMessage{Progress: p})
}

// Log implements [jobs.Reporter].
func (r *isolatedReporter) Log(level, line string) {
	r.send(isolatedMessage{Log: &isolatedLog{level, jobs.Clip(line, jobs.MaxLine)}})
}

// Output implements [jobs.Reporter].
func (r *isolatedReporter) Output(chunk string) {
	for part := range slices.Chunk([]byte(chunk), jobs.MaxChunk) {
		r.send(isolatedMessage{Output: part})
	}
}
