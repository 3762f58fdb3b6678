package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// errTimeout is why the context of a run is done that took too long.
var errTimeout = errors.New("timeout")

// runArgs are the arguments of a River job that runs a step of a job. Its
// kind names the service, so that a worker without it leaves it alone.
type runArgs struct {
	service string
	JobID   string `json:"job_id"`
}

func (a runArgs) Kind() string { return "service:" + a.service }

// A worker runs the jobs of one service.
type worker struct {
	river.WorkerDefaults[runArgs]
	queue   *Queue
	service *Service
}

// NextRetry is when River calls Work again after it returned an error: when
// the database was away. Attempts of the job are not River's business.
func (w *worker) NextRetry(*river.Job[runArgs]) time.Time { return time.Now().Add(2 * time.Second) }

// Timeout is River's, which must outlast the job's own.
func (w *worker) Timeout(*river.Job[runArgs]) time.Duration { return w.queue.MaxTimeout + time.Minute }

// Work runs a step of a job.
func (w *worker) Work(ctx context.Context, rj *river.Job[runArgs]) error {
	q := w.queue
	defer q.begin(rj.Args.JobID)()
	r, err := q.start(ctx, rj.Args.JobID, rj.ID)
	if errors.Is(err, errLost) || errors.Is(err, ErrNotFound) {
		return nil // finished, canceled or given to another River job meanwhile
	}
	if err != nil {
		return err
	}
	if w.isolates(r) {
		select {
		case q.isolated <- struct{}{}:
			defer func() { <-q.isolated }()
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(r.job.timeout), errTimeout)
	defer cancel()
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	q.track(r)
	res := w.run(ctx, r)
	q.untrack(r)
	r.close()
	err = q.finish(ctx, r, res)
	q.replace(res.returned)
	return err
}

// run runs the service on the step's input.
func (w *worker) run(ctx context.Context, r *run) result {
	q, input := w.queue, r.job.Chain[r.job.Step-1].Input
	if r.job.Step > 1 {
		filled, err := resolve(input, r.job.Chain[r.job.Step-2].Output)
		if err != nil {
			return failing(codeInvalidInput, "invalid input: %s", err)
		}
		if err := q.Validate(w.service.Name, filled); err != nil {
			return failing(codeInvalidInput, "invalid input: the output of step %d does not fit the input of %s: %s", r.job.Step-1, w.service.Name, err)
		}
		input = filled
	}
	if w.isolates(r) {
		return w.isolate(ctx, r, input)
	}
	res := w.service.run(WithReporter(ctx, r), input, q.CancelGrace, func(text string, stack []byte) { w.logPanic(ctx, r, text, string(stack)) })
	if res.returned != nil {
		q.Logger.WarnContext(ctx, "service does not stop: its job goes on without it; make the service return soon after its context is done",
			"service", w.service.Name, "job", r.job.ID, "told", context.Cause(ctx), "waited", q.CancelGrace.String())
	}
	return res
}

// isolates reports whether the run needs a process of its own, in case it ends that.
func (w *worker) isolates(r *run) bool {
	return r.job.suspect() && w.queue.Isolate != nil && !w.service.External
}

func (w *worker) logPanic(ctx context.Context, r *run, text, stack string) {
	w.queue.Logger.ErrorContext(ctx, "service panicked", "service", w.service.Name, "job", r.job.ID, "panic", text, "stack", stack)
}

// start gives the job to a new run of this process.
func (q *Queue) start(ctx context.Context, id string, riverJobID int64) (*run, error) {
	runID, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make run id: %w", err)
	}
	job, err := q.transitFrom(ctx, id, q.queued.take(id), is(runStarted{runID.String(), q.workerID, riverJobID}))
	if err != nil {
		return nil, err
	}
	return &run{queue: q, job: job, began: time.Now(), version: job.version, said: said{first: job.logLines + 1, lines: job.logLines}}, nil
}

// overall returns the percentage of the whole job when its current step is
// that far.
func (j *Job) overall(percent float64) float64 {
	return (float64(j.Step-1)*100 + min(max(percent, 0), 100)) / float64(j.Steps)
}

// within calls fn with a deadline.
func within(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}
