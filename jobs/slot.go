package jobs

// begin notes that this process works on a job or delivery until end is called.
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

// works reports whether this process works on a job or delivery.
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
