package jobs

import "context"

// outlive calls change, and returns what it does, or the context's error when
// that is done first. The change goes on then: what follows from it once it is
// committed must happen, whether or not its caller has left.
func outlive[T any](ctx context.Context, change func(context.Context) (T, error)) (result T, err error) {
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

// transit locks the job, lets it meet the fact that the judge names, writes what
// becomes of it, and publishes the event after the commit, also when ctx is done
// before. An error of the judge's or the fact's changes nothing.
func (q *Queue) transit(ctx context.Context, id string, says judge) (Job, error) {
	return q.transitFrom(ctx, id, nil, says)
}

// transitFrom is transit for a job whose row is known, most likely: it is read
// and locked only if it turns out to be another.
func (q *Queue) transitFrom(ctx context.Context, id string, known *Job, says judge) (Job, error) {
	return outlive(ctx, func(ctx context.Context) (Job, error) { return q.transitToEnd(ctx, id, known, says) })
}
