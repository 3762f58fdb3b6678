package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/isolated"
)

// runArgs are the arguments of a River job that runs a step of a job. Its kind names the service,
// so that workers without that service do not fetch it.
type runArgs struct {
	service string
	JobID   string `json:"job_id"`
}

func (a runArgs) Kind() string { return "service:" + a.service }

// A worker runs the jobs of one service.
type worker struct {
	river.WorkerDefaults[runArgs]
	queue   *Queue
	service *jobs.Service
}

// NextRetry returns when River retries Work after an error, which means that the database was
// unavailable. The job's own attempts are not scheduled by River.
func (w *worker) NextRetry(*river.Job[runArgs]) time.Time { return time.Now().Add(2 * time.Second) }

// Timeout returns River's timeout, which must be longer than the job's.
func (w *worker) Timeout(*river.Job[runArgs]) time.Duration { return w.queue.MaxTimeout + time.Minute }

// Work runs a step of a job.
func (w *worker) Work(ctx context.Context, rj *river.Job[runArgs]) error {
	q := w.queue
	defer q.beginWork(rj.Args.JobID)()
	r, err := q.start(ctx, rj.Args.JobID, rj.ID)
	if errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) {
		return nil // finished, canceled or assigned to another River job meanwhile
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
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(r.job.Timeout), jobs.ErrTimeout)
	defer cancel()
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	q.track(r)
	res := w.run(ctx, r)
	q.untrack(r)
	r.close()
	err = q.finish(ctx, r, res)
	q.freeSlot(res.Returned)
	return err
}

// run runs the service on the step's input.
func (w *worker) run(ctx context.Context, r *run) jobs.Result {
	q, input := w.queue, r.job.Chain[r.job.Step-1].Input
	if r.job.Step > 1 {
		filled, err := jobs.FillInput(input, r.job.Chain[r.job.Step-2].Output, q.MaxOutput)
		if err != nil {
			return jobs.Fail(jobs.CodeInvalidInput, "invalid input: %s", err)
		}
		if filled, err = q.fillFile(r, w.service.Name, filled); err != nil {
			return jobs.Fail(jobs.CodeInvalidInput, "invalid input: %s", err)
		}
		if err := q.Validate(w.service.Name, filled); err != nil {
			return jobs.Fail(jobs.CodeInvalidInput,
				"invalid input: the output of step %d does not fit the input of %s: %s",
				r.job.Step-1, w.service.Name, err)
		}
		input = filled
	}
	if q.Fill != nil {
		input = q.Fill(w.service.Name, input)
	}
	input, err := q.fetchFiles(ctx, r, w.service.Name, input)
	if err != nil {
		return jobs.FailWith(err)
	}
	if w.isolates(r) {
		cmd, err := q.Isolate(ctx)
		if err != nil {
			return jobs.Fail(jobs.CodeNotStarted, "no process to run the job alone: %s", err)
		}
		return isolated.Start(ctx, cmd, isolated.Options{
			Service: w.service.Name, Input: input, Run: r.id(), Reporter: r, Grace: q.CancelGrace, MaxOutput: q.MaxOutput,
			Panicked: func(text, stack string) { w.logPanic(ctx, r, text, stack) },
		})
	}
	res := w.service.Run(r.context(ctx), input, q.CancelGrace,
		func(text string, stack []byte) { w.logPanic(ctx, r, text, string(stack)) })
	if res.Returned != nil {
		q.Logger.WarnContext(ctx, "service does not stop: its run is abandoned; make the service return soon after its context is done",
			"service", w.service.Name, "job", r.job.ID, "cause", context.Cause(ctx), "waited", q.CancelGrace.String())
	}
	return res
}

// isolates reports whether the run needs a process of its own, in case it ends that.
func (w *worker) isolates(r *run) bool {
	return r.job.Suspect() && w.queue.Isolate != nil && !w.service.External
}

func (w *worker) logPanic(ctx context.Context, r *run, text, stack string) {
	w.queue.Logger.ErrorContext(ctx, "service panicked",
		"service", w.service.Name, "job", r.job.ID, "panic", text, "stack", stack)
}

// start starts a new run of the job in this process.
func (q *Queue) start(ctx context.Context, id string, riverJobID int64) (*run, error) {
	runID, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("create run id: %w", err)
	}
	job, err := q.transitFrom(ctx, id, q.queued.take(id), always(jobs.RunStarted{RunID: runID.String(), WorkerID: q.workerID, RiverJobID: riverJobID}))
	if err != nil {
		return nil, err
	}
	var store *files.Run
	if q.Files != nil {
		store = files.NewRun(q.Files)
	}
	return &run{
		queue: q, job: job, files: store, fetched: make(map[string]jobs.File), began: time.Now(), version: job.Version,
		log: logBuffer{first: job.LogLines + 1, lines: job.LogLines},
	}, nil
}

// within calls fn with a timeout.
func within(ctx context.Context, limit time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return fn(ctx)
}

// finish stores the outcome of a run. If it returns an error, River retries the job.
func (q *Queue) finish(ctx context.Context, r *run, res jobs.Result) error {
	cause, took := context.Cause(ctx), time.Since(r.began)
	if errors.Is(cause, jobs.ErrLost) {
		return nil
	}
	decide := func(_ context.Context, _ *batch, j *jobs.Job) (jobs.Trigger, error) { //nolint:unparam // a decider may return an error
		return jobs.RunEnded{
			RunID: r.job.RunID, Result: res, Cause: cause, Canceled: errors.Is(cause, river.ErrJobCancelledRemotely),
			Wait: q.Backoff(j.Attempt), Report: r.report(), Log: r.unsavedLog(), Last: r.last(),
		}, nil
	}
	var job jobs.Job
	err := q.persist(ctx, func(ctx context.Context) (err error) {
		job, err = q.transitFrom(ctx, r.job.ID, r.cachedRow(), decide)
		return err
	})
	if errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) {
		q.Logger.WarnContext(ctx, "run lost its job, its outcome is dropped", "job", r.job.ID, "run", r.job.RunID)
		return nil
	}
	if err != nil {
		return err
	}
	q.deleteRunFiles(ctx, r, &job)
	q.metrics.ran(r.job.Chain[r.job.Step-1].Service, job.Status, took)
	if res.Failure != nil && res.Failure.Code == jobs.CodeNotStarted && job.Status == jobs.Queued {
		return errors.New(res.Failure.Message) // River retries it
	}
	return nil
}

// cachedRow returns the job as its row is if the row has not changed since the run began; nil if
// the run cannot be sure.
func (r *run) cachedRow() *jobs.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version != r.job.Version || r.job.WantsProgress() { // the row counts progress callbacks
		return nil
	}
	return &r.job
}

// persist retries write until it succeeds or is refused: the work is done, and an outage of the
// database must not lose its outcome. If write keeps failing although the database works, persist
// returns the error after a minute.
func (q *Queue) persist(ctx context.Context, write func(context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	start := time.Now()
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		err := within(ctx, time.Minute, write)
		if err == nil || errors.Is(err, jobs.ErrLost) || errors.Is(err, jobs.ErrNotFound) || errors.Is(err, errClosed) {
			return err
		}
		switch {
		case q.noteDatabase(ctx, err):
			start = time.Now()
		case time.Since(start) > time.Minute:
			return err
		default:
			q.Logger.ErrorContext(ctx, "outcome not stored, will retry", "err", err)
		}
		select {
		case <-q.stopped:
			return err
		case <-time.After(delay):
		}
	}
}
