package queue

import (
	"context"
	"errors"

	"github.com/riverqueue/river"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// riverAttempts is how often River retries a worker that cannot reach the database. Each attempt of
// a job is a separate River job.
const riverAttempts = 1000

// A decider returns the trigger for a job while its row is locked, or an error if there is none.
type decider func(ctx context.Context, b *batch, j *jobs.Job) (jobs.Trigger, error)

// transitToEnd is [Queue.transit] with a context that cannot end.
func (q *Queue) transitToEnd(ctx context.Context, id string, cached *jobs.Job, decide decider) (jobs.Job, error) {
	var u *update
	var before <-chan struct{}
	var leave func()
	ch := &change{names: []string{id}, lock: id, cached: cached}
	ch.apply = func(ctx context.Context, b *batch) error {
		if leave == nil { // it may be applied more than once
			before, leave = q.order.enter(id)
		}
		old, err := b.job(id)
		if err != nil {
			return err
		}
		t, err := decide(ctx, b, &old)
		if err != nil {
			return err
		}
		job, e, err := old.Transition(t, b.now)
		if err != nil {
			return refuse(err)
		}
		u = &update{before: old, job: job, effects: e}
		return b.update(ctx, u)
	}
	err := q.committer.commit(ctx, ch)
	if leave != nil {
		defer leave()
	}
	if err != nil {
		return jobs.Job{}, err
	}
	q.metrics.transited(u.before.Status, &u.job, u.now)
	if u.job.Done && u.job.Status != u.before.Status {
		q.tally.Ended(&u.job)
	}
	if u.effects.Recovered {
		q.counters.recovered.Add(1)
	}
	if u.effects.Requeued {
		q.Logger.WarnContext(ctx, "job was lost and is queued again", "job", id, "recoveries", u.job.Recoveries)
	}
	q.logTransition(ctx, &u.before, &u.job)
	q.cacheQueued(&u.job)
	q.views.update(u.job)
	awaitTurn(before)
	q.publish(ctx, &u.job, &u.effects, u.now)
	return u.job, nil
}

// cacheQueued caches a queued job if this process may start it.
func (q *Queue) cacheQueued(j *jobs.Job) {
	if q.Workers > 0 {
		q.queued.put(j)
	}
}

// always returns a decider that returns t for every job.
func always(t jobs.Trigger) decider {
	return func(context.Context, *batch, *jobs.Job) (jobs.Trigger, error) { return t, nil }
}

// publish publishes the job's new status to viewers. A lost event only costs latency.
func (q *Queue) publish(ctx context.Context, j *jobs.Job, effect *jobs.Effects, now store.Time) {
	e := notify.Event{ID: j.EventID(), Prev: effect.Prev, Name: "status"}
	var data any = struct {
		Type            string      `json:"type"`
		Status          jobs.Status `json:"status"`
		Attempt         int         `json:"attempt"`
		Step            int         `json:"step"`
		CancelRequested bool        `json:"cancel_requested"`
		At              store.Time  `json:"at"`
	}{"status", j.Status, j.Attempt, j.Step, j.CancelRequested, now}
	if effect.Kept {
		if r := q.runOf(j); r != nil && r.publishTransition(j.Version, data) {
			return // in order with the run's own events
		}
	}
	if j.Done {
		e.Name = "end"
		data = struct {
			Type string `json:"type"`
		}{"end"}
	}
	var err error
	if e.Data, err = store.Marshal(data); err == nil {
		err = q.Events.Publish(j.ID, e)
	}
	if err != nil {
		q.Logger.DebugContext(ctx, "event not published", "job", j.ID, "event", e.ID.String(), "err", err)
	}
}

// detached calls change and returns its result, or the context's error if that is done first. The
// change continues in this case, because the effects of a committed change must take place even if
// its caller has left.
func detached[T any](ctx context.Context, change func(context.Context) (T, error)) (result T, err error) {
	if err := ctx.Err(); err != nil {
		return result, err
	}
	done := make(chan struct{})
	var changed T
	var failed error
	go func() {
		defer close(done)
		changed, failed = change(context.WithoutCancel(ctx)) // ends with the committer
	}()
	select {
	case <-done:
		return changed, failed
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

// transit locks the job, applies the trigger that decide returns, writes the job, and publishes the
// event after the commit, even if ctx is done before. If decide or the trigger returns an error,
// nothing changes.
func (q *Queue) transit(ctx context.Context, id string, decide decider) (jobs.Job, error) {
	return q.transitFrom(ctx, id, nil, decide)
}

// transitFrom is like transit, for a job whose row is probably cached. The row is read and locked
// only if the cached one is outdated.
func (q *Queue) transitFrom(ctx context.Context, id string, cached *jobs.Job, decide decider) (jobs.Job, error) {
	return detached(ctx, func(ctx context.Context) (jobs.Job, error) { return q.transitToEnd(ctx, id, cached, decide) })
}

// Cancel cancels a waiting job at once. It requests a running job to stop: the returned job is then
// still running, with CancelRequested set. The reason, which may be empty, becomes the message of
// the job's error. Canceling a job again changes nothing. Errors: [jobs.ErrNotFound], and [jobs.ErrFinished]
// if the job ended in another way.
func (q *Queue) Cancel(ctx context.Context, id, reason string) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	job, err := q.transit(ctx, id, always(jobs.CancelRequested{Reason: reason}))
	if errors.Is(err, jobs.ErrAlreadyCanceled) {
		return q.Get(ctx, id)
	}
	if err != nil {
		return jobs.Job{}, err
	}
	if r := q.runOf(&job); r != nil {
		r.cancel(river.ErrJobCancelledRemotely) // otherwise River notifies the run later
	}
	return job, nil
}
