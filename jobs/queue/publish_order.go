package queue

import (
	"sync"
	"time"
)

// publishOrder makes this process publish the events of a job's transitions in the order of their
// commits. Otherwise, a worker could start a job and publish that before whoever has queued the job
// has published the event before, which viewers would then miss.
type publishOrder struct {
	mu   sync.Mutex               // guards last
	last map[string]chan struct{} // by job: closed when the newest transition's event is published
}

func newPublishOrder() *publishOrder { return &publishOrder{last: make(map[string]chan struct{})} }

// enter adds a transition of a job after those that have entered. before is closed when the event of
// the previous one is published, or nil if there is none. The caller must call leave when its own is
// published, or is not to be.
func (o *publishOrder) enter(id string) (before <-chan struct{}, leave func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	previous, own := o.last[id], make(chan struct{})
	o.last[id] = own
	return previous, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		close(own)
		if o.last[id] == own {
			delete(o.last, id)
		}
	}
}

// maxTurn is how long a transition's event waits for that of the previous one, whose publication
// takes 200 ms at most.
const maxTurn = time.Second

// awaitTurn waits until before is closed, unless it is nil.
func awaitTurn(before <-chan struct{}) {
	if before == nil {
		return
	}
	late := time.NewTimer(maxTurn)
	defer late.Stop()
	select {
	case <-before:
	case <-late.C: // a lost event costs only latency
	}
}
