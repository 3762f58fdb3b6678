package jobs

import (
	"context"
	"sync"
	"time"
)

// run runs the service and waits for it. When the service is told to stop and
// does not, or its output or error can't be read, it is left behind after
// CancelGrace, so that its job can go on without it.
func (w *worker) run(ctx context.Context, r *run) result {
	exited := failing(codeFailed, "the service ended its goroutine (runtime.Goexit) in place of returning")
	res := &exited
	done, returned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		late := w.call(ctx, r, sync.OnceFunc(func() { close(returned) }))
		res = &late
	}()
	var why result
	select {
	case <-done:
		return *res
	case <-returned:
		why = failing(codeFailed, "the service's output or error could not be read in %s: one of its methods does not return", w.queue.CancelGrace)
	case <-ctx.Done():
		why = failing(codeFailed, "the service did not stop")
	}
	timer := time.NewTimer(w.queue.CancelGrace)
	defer timer.Stop()
	select {
	case <-done:
		return *res
	case <-timer.C:
	}
	w.queue.Logger.WarnContext(ctx, "service does not stop: its job goes on without it; make the service return soon after its context is done",
		"service", w.service.Name, "job", r.job.ID, "told", context.Cause(ctx), "waited", w.queue.CancelGrace.String())
	why.returned = done
	return why
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
