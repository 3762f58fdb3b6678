package jobs

import (
	"context"
	"fmt"
)

// A Reporter takes what a service says while it runs.
type Reporter interface {
	// Progress says how far the service is, in percent.
	Progress(percent float64, message string, data any)
	// Log says a line; the level is "info" or "warning".
	Log(level, line string)
	// Output hands over a part of the output as it is made.
	Output(chunk string)
}

type reporterKey struct{}

// WithReporter returns a context whose reports go to r, as tests of services
// like it. A job's context has one already.
func WithReporter(ctx context.Context, r Reporter) context.Context {
	return context.WithValue(ctx, reporterKey{}, r)
}

// reporter returns the one of ctx; nil outside a job.
func reporter(ctx context.Context) Reporter {
	r, _ := ctx.Value(reporterKey{}).(Reporter)
	return r
}

// An identified reporter knows for which job and run it reports.
type identified interface{ ids() (job, run string) }

// RunID returns the id of the current run, and "" outside a job. No two runs
// have the same, not even of one job: after a worker was lost, the job's next
// run has another.
func RunID(ctx context.Context) string {
	if r, ok := reporter(ctx).(identified); ok {
		_, run := r.ids()
		return run
	}
	return ""
}

// JobID returns the id of the current job, and "" outside one. A service that
// asks another system for something can use it as the key that keeps it from
// being done twice.
func JobID(ctx context.Context) string {
	if r, ok := reporter(ctx).(identified); ok {
		job, _ := r.ids()
		return job
	}
	return ""
}

// AttemptOf returns the number of the current attempt at the step, from 1, and 0 where it
// is not known: outside a job, and in a process that runs one job alone.
func AttemptOf(ctx context.Context) int {
	if r, ok := reporter(ctx).(interface{ attempt() int }); ok {
		return r.attempt()
	}
	return 0
}

// Progress says how far the current job's service is: from 0 to 100 percent,
// with a message for people. It returns at once and may be called often:
// viewers get at most ten a second, and always the last one. Outside a job it
// does nothing.
func Progress(ctx context.Context, percent float64, message string) {
	ProgressData(ctx, percent, message, nil)
}

// ProgressData is [Progress] with data for programs, which must be fit for JSON.
func ProgressData(ctx context.Context, percent float64, message string, data any) {
	if r := reporter(ctx); r != nil {
		r.Progress(percent, message, data)
	}
}

// Log sends a line to whoever watches the current job. It returns at once;
// the newest 256 KiB of them are kept with the job. Outside a job it does nothing.
func Log(ctx context.Context, format string, args ...any) {
	if r := reporter(ctx); r != nil {
		r.Log("info", fmt.Sprintf(format, args...))
	}
}

// Warn is [Log] for what is not as it should be.
func Warn(ctx context.Context, format string, args ...any) {
	if r := reporter(ctx); r != nil {
		r.Log("warning", fmt.Sprintf(format, args...))
	}
}

// Output sends a part of the output of the current job to whoever watches, as
// it is made. It takes nothing away from the output that the service returns
// at its end. Outside a job it does nothing.
func Output(ctx context.Context, chunk string) {
	if r := reporter(ctx); r != nil {
		r.Output(chunk)
	}
}
