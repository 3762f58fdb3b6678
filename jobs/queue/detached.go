package queue

import (
	"context"

	"coatcheck/jobs"
)

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
