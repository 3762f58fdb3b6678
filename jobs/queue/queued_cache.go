package queue

import (
	"sync"

	"coatcheck/jobs"
)

const (
	// maxQueuedCache is the approximate maximum size of the cache in bytes. maxQueuedInput is the
	// maximum size of a cached job.
	maxQueuedCache = 8 << 20
	maxQueuedInput = 8 << 10
	// queuedCost is the approximate size of a job without its inputs and outputs, in bytes.
	queuedCost = 1 << 10
)

// queuedJobs caches jobs that this process has queued, so that a run can start without reading the
// row. A cached row may be outdated: the fence detects that when the row is written.
type queuedJobs struct {
	mu   sync.Mutex // guards the fields below
	byID map[string]*jobs.Job
	ids  []string // oldest first; also contains ids of jobs that were taken
	size int
}

func newQueuedJobs() *queuedJobs { return &queuedJobs{byID: make(map[string]*jobs.Job)} }

func queuedSize(j *jobs.Job) (size int) {
	for _, step := range j.Chain {
		size += len(step.Input) + len(step.Output)
	}
	return size + queuedCost
}

// put caches a queued job and evicts the oldest jobs to make room.
func (k *queuedJobs) put(j *jobs.Job) {
	size := queuedSize(j)
	if j.Status != jobs.Queued || size > maxQueuedInput {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(j.ID)
	for len(k.ids) > 0 && (k.size+size > maxQueuedCache || len(k.ids) >= maxQueuedCache/queuedCost) {
		k.remove(k.ids[0])
		k.ids = k.ids[1:]
	}
	k.byID[j.ID] = j
	k.ids = append(k.ids, j.ID)
	k.size += size
}

// take removes and returns a job; nil if it is not cached.
func (k *queuedJobs) take(id string) *jobs.Job {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := k.byID[id]
	k.remove(id)
	return j
}

func (k *queuedJobs) remove(id string) {
	if j, ok := k.byID[id]; ok {
		delete(k.byID, id)
		k.size -= queuedSize(j)
	}
}
