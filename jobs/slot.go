package jobs

import (
	"context"
	"time"
)

// run runs the service and waits for it. One that is told to stop and does
// not is left behind after a grace, so that its job can go on without it;
// then returned is closed when it returns after all.
func (w *worker) run(ctx context.Context, r *run) (output []byte, returned <-chan struct{}, err error) {
	done := make(chan struct{})
	var late []byte
	var lateErr error
	go func() {
		defer close(done)
		late, lateErr = w.call(ctx, r)
	}()
	select {
	case <-done:
		return late, nil, lateErr
	case <-ctx.Done():
	}
	timer := time.NewTimer(w.queue.CancelGrace)
	defer timer.Stop()
	select {
	case <-done:
		return late, nil, lateErr
	case <-timer.C:
	}
	w.queue.Logger.WarnContext(ctx, "service does not stop: its job goes on without it; make the service return soon after its context is done",
		"service", w.service.Name, "job", r.job.ID, "told", context.Cause(ctx), "waited", w.queue.CancelGrace.String())
	return nil, done, errDeaf
}

// begin notes that this process works at a job until end is called.
func (q *Queue) begin(id string) (end func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.working[id]++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.working[id]--; q.working[id] == 0 {
			delete(q.working, id)
		}
	}
}

// works reports whether this process works at a job.
func (q *Queue) works(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.working[id] > 0
}

// replace lets another job take the slot of a service that was left behind.
// There may be as many of those as there are slots: then it waits.
func (q *Queue) replace(returned <-chan struct{}) {
	if returned == nil {
		return
	}
	q.counters.abandoned.Add(1)
	q.counters.deaf.Add(1)
	select {
	case q.deaf <- struct{}{}:
		q.wg.Go(func() {
			defer q.counters.deaf.Add(-1)
			select {
			case <-returned:
				<-q.deaf
			case <-q.stopping:
			}
		})
	case <-returned:
		q.counters.deaf.Add(-1)
	case <-q.stopping:
	}
}
