package jobs

import (
	"context"
	"encoding/json"
	"fmt"

	"coatcheck/jobs/store"
)

// A Reporter receives the reports of a running service.
type Reporter interface {
	// Progress reports the progress in percent.
	Progress(percent float64, message string, data any)
	// Log logs a line; the level is "info" or "warning".
	Log(level, line string)
	// Output streams a part of the output as it is produced.
	Output(chunk string)
}

type reporterKey struct{}

// WithReporter returns a context whose reports go to r, for example in tests of services. The
// context of a job already has a reporter.
func WithReporter(ctx context.Context, r Reporter) context.Context {
	return context.WithValue(ctx, reporterKey{}, r)
}

// reporter returns the reporter of ctx; nil outside a job.
func reporter(ctx context.Context) Reporter {
	r, _ := ctx.Value(reporterKey{}).(Reporter)
	return r
}

// A Run identifies the run that a context belongs to.
type Run struct {
	JobID string `json:"job_id"`
	RunID string `json:"run_id"`
	// Attempt is the number of the attempt at the step, from 1.
	Attempt int `json:"attempt"`
	// MaxOutput is the maximum size of the output as JSON in bytes; 0 for the default.
	MaxOutput int `json:"max_output,omitempty"`
	// Uploads are the files of the job's input, by their ids.
	Uploads map[string]File `json:"uploads,omitempty"`
}

type runKey struct{}

// WithRun returns a context of a run. The context of a job is one already.
func WithRun(ctx context.Context, r Run) context.Context { return context.WithValue(ctx, runKey{}, r) }

func runOf(ctx context.Context) Run {
	r, _ := ctx.Value(runKey{}).(Run)
	return r
}

// RunID returns the id of the current run, or "" outside a job. Run ids are unique, even among runs
// of the same job: after a worker was lost, the job's next run has a different id.
func RunID(ctx context.Context) string { return runOf(ctx).RunID }

// JobID returns the id of the current job, or "" outside a job. A service can use it as an
// idempotency key for requests to other systems.
func JobID(ctx context.Context) string { return runOf(ctx).JobID }

// AttemptOf returns the number of the current attempt at the step, from 1, or 0 outside a job.
func AttemptOf(ctx context.Context) int { return runOf(ctx).Attempt }

// Progress reports the progress of the current job's service, from 0 to 100 percent, with a message
// for people. It does not block and may be called often: viewers receive at most ten updates per
// second, always including the last. Outside a job it does nothing.
func Progress(ctx context.Context, percent float64, message string) {
	ProgressData(ctx, percent, message, nil)
}

// ProgressData is [Progress] with data for programs. The data must be encodable as JSON.
func ProgressData(ctx context.Context, percent float64, message string, data any) {
	if r := reporter(ctx); r != nil {
		r.Progress(percent, message, data)
	}
}

// Log sends a log line to the viewers of the current job. It does not block. The newest 256 KiB are
// stored with the job. Outside a job it does nothing.
func Log(ctx context.Context, format string, args ...any) {
	if r := reporter(ctx); r != nil {
		r.Log("info", fmt.Sprintf(format, args...))
	}
}

// Warn logs a line at level warning; see [Log].
func Warn(ctx context.Context, format string, args ...any) {
	if r := reporter(ctx); r != nil {
		r.Log("warning", fmt.Sprintf(format, args...))
	}
}

// Output streams a part of the current job's output to viewers as it is produced. It does not
// change the output that the service returns at its end. Outside a job it does nothing.
func Output(ctx context.Context, chunk string) {
	if r := reporter(ctx); r != nil {
		r.Output(chunk)
	}
}

const (
	// MaxLine is the maximum size of a log line, and of the data of a progress report, in bytes.
	MaxLine = 16 << 10
	// MaxChunk is the maximum output of an event, in bytes.
	MaxChunk = 64 << 10
)

// BadProgressData is the warning about a report whose data cannot be sent.
const BadProgressData = "the data of a progress report can't be sent: it is no JSON or too large"

// EncodeProgress returns the data of a report as JSON; nil for none. It reports false if the data
// cannot be encoded or is too large.
func EncodeProgress(data any) (text json.RawMessage, ok bool) {
	if data == nil {
		return nil, true
	}
	text, err := store.Marshal(data)
	if err != nil || len(text) > MaxLine {
		return nil, false
	}
	return text, true
}
