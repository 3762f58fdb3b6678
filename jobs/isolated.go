package jobs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

// RunIsolated runs one service in this process, which [Config.Isolate] has
// started for that. It reads what to run from in and writes what the service
// reports, and its result, to out; the service is told to stop when in ends.
// Then the process should exit.
func RunIsolated(ctx context.Context, services *Registry, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	var request isolatedRun
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	service := services.Get(request.Service)
	if service == nil {
		return ErrUnknownService
	}
	ctx, cancel := context.WithTimeout(ctx, request.Timeout)
	defer cancel()
	go func() { // until the process exits
		io.Copy(io.Discard, lines)
		cancel()
	}()
	r := &isolatedReporter{out: out, job: request.JobID, run: request.RunID}
	res := service.run(WithReporter(ctx, r), request.Input, request.Grace, func(text string, stack []byte) {
		r.say(isolatedMessage{Panic: &isolatedPanic{text, string(stack)}})
	})
	res.returned = nil
	return r.say(isolatedMessage{Result: &res})
}

// An isolatedReporter is the [Reporter] of a service that runs alone.
type isolatedReporter struct {
	job, run string

	mu  sync.Mutex
	out io.Writer
}

func (r *isolatedReporter) ids() (job, run string) { return r.job, r.run }

func (r *isolatedReporter) say(m isolatedMessage) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("render a message: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.out.Write(append(text, '\n'))
	return err
}

// Progress implements [Reporter].
func (r *isolatedReporter) Progress(percent float64, message string, data any) {
	if math.IsNaN(percent) {
		percent = 0
	}
	p := &isolatedProgress{Percent: min(max(percent, 0), 100), Message: clip(message, maxMessage)}
	var ok bool
	if p.Data, ok = progressData(data); !ok {
		r.Log("warning", badProgressData)
	}
	r.say(isolatedMessage{Progress: p})
}

// Log implements [Reporter].
func (r *isolatedReporter) Log(level, line string) {
	r.say(isolatedMessage{Log: &isolatedLog{level, clip(line, maxLine)}})
}

// Output implements [Reporter].
func (r *isolatedReporter) Output(chunk string) {
	for part := range slices.Chunk([]byte(chunk), maxChunk) {
		r.say(isolatedMessage{Output: part})
	}
}
