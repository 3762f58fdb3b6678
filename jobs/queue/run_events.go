package queue

import (
	"context"
	"errors"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// publishTransition publishes a transition that did not take the job from the run, in order with
// the run's own events. It reports false if the run is over.
func (r *run) publishTransition(version uint64, data any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.pending = append(r.pending, event{name: "status", data: data, version: version})
	r.wakePublisher()
	return true
}

// wakePublisher starts the publisher, or notifies it of a new pending event. r.mu must be held.
func (r *run) wakePublisher() {
	if r.wake == nil {
		r.wake, r.done = make(chan struct{}, 1), make(chan struct{})
		go r.publish()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// publish publishes pending events in order until the run is closed.
func (r *run) publish() {
	defer close(r.done)
	var lastProgress time.Time
	var output int // bytes published since the last pause
	for {
		r.mu.Lock()
		if len(r.pending) == 0 {
			closed := r.closed
			r.mu.Unlock()
			if closed {
				return
			}
			<-r.wake
			continue
		}
		e := r.pending[0]
		if wait := time.Until(lastProgress.Add(progressInterval)); e.name == "progress" && wait > 0 && !r.closed {
			r.mu.Unlock()
			select {
			case <-time.After(wait):
			case <-r.wake: // closed, or another event after the progress
			}
			continue
		}
		r.pending = r.pending[1:]
		r.bytes -= e.size
		r.mu.Unlock()
		if e.name == "progress" {
			lastProgress = time.Now()
		}
		r.send(e)
		if output += e.size; output >= jobs.MaxChunk {
			time.Sleep(time.Duration(output) * time.Second / outputRate)
			output = 0
		}
	}
}

// send publishes an event with the next id. If a newer event exists although the run still has its
// job, another process has changed the row: the event then gets an id after that change.
func (r *run) send(e event) {
	data, err := store.Marshal(e.data)
	for attempt := 0; err == nil && attempt < 2; attempt++ {
		id, prev := r.next(e)
		err = r.queue.Events.Publish(r.job.ID, notify.Event{ID: id, Prev: prev, Name: e.name, Data: data})
		if !errors.Is(err, notify.ErrStale) {
			break
		}
		version, holds := r.queue.versionIfRunning(r.job.ID, r.job.RunID)
		if !holds {
			break
		}
		r.mu.Lock()
		changed := version > r.version
		if changed {
			r.version, r.n = version, 0
		}
		r.mu.Unlock()
		if !changed {
			break
		}
		e.version, err = 0, nil
	}
	if err != nil {
		r.queue.Logger.Debug("event not published", "job", r.job.ID, "event", e.name, "err", err)
	}
}

// next returns the id of the next event and the id of the previous one.
func (r *run) next(e event) (id, prev notify.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	prev = notify.ID{Version: r.version, N: r.n + e.lost}
	if e.version > r.version {
		r.version, r.n = e.version, 0
	} else {
		r.n = prev.N + 1
	}
	return notify.ID{Version: r.version, N: r.n}, prev
}

// versionIfRunning returns the version of a job's row. It reports false if the run has lost the
// job.
func (q *Queue) versionIfRunning(id, runID string) (version uint64, running bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := q.db.Read.QueryRowContext(ctx,
		`SELECT version FROM jobs WHERE id = $1 AND run_id = $2 AND status = 'running'`, id, runID).Scan(&version)
	return version, err == nil
}

// close publishes the pending events and accepts no more.
func (r *run) close() {
	r.mu.Lock()
	if !r.closed {
		r.pushOutput(r.unfinished) // its last bytes will not arrive
	}
	r.closed = true
	done := r.done
	if r.wake != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	if done != nil {
		<-done
	}
}
