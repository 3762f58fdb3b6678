package queue

// beginWork marks that this process is working on a job or delivery, until end is called.
func (q *Queue) beginWork(id string) (end func()) {
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

// isWorkingOn reports whether this process is working on a job or delivery.
func (q *Queue) isWorkingOn(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.working[id] > 0
}

// freeSlot frees the slot of an abandoned service for another job. If there are already as many
// abandoned services as slots, it waits.
func (q *Queue) freeSlot(returned <-chan struct{}) {
	if returned == nil {
		return
	}
	q.counters.abandoned.Add(1)
	q.counters.unresponsive.Add(1)
	select {
	case q.abandonedSlots <- struct{}{}:
		q.wg.Go(func() {
			defer q.counters.unresponsive.Add(-1)
			select {
			case <-returned:
				<-q.abandonedSlots
			case <-q.stopping:
			}
		})
	case <-returned:
		q.counters.unresponsive.Add(-1)
	case <-q.stopping:
	}
}
