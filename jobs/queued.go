package jobs

import "sync"

const (
	// maxQueuedKnown is how large, in bytes, the queued jobs that are remembered are
	// in all, about, and maxQueuedInput how large the inputs of one may be.
	maxQueuedKnown = 8 << 20
	maxQueuedInput = 8 << 10
	// queuedCost is how large a job is beside its inputs.
	queuedCost = 1 << 10
)

// queuedJobs are jobs that this process has queued, as their rows are unless
// somebody has changed them since: to start one, its row need not be read. Whoever
// uses one finds out when it writes the row.
type queuedJobs struct {
	mu   sync.Mutex
	byID map[string]*Job
	ids  []string // from the oldest; also of jobs that were taken
	size int
}

func newQueuedJobs() *queuedJobs { return &queuedJobs{byID: make(map[string]*Job)} }

func queuedSize(j *Job) (size int) {
	for _, step := range j.Chain {
		size += len(step.Input) + len(step.Output)
	}
	return size + queuedCost
}

// put remembers a job that is queued, in place of the oldest ones.
func (k *queuedJobs) put(j *Job) {
	size := queuedSize(j)
	if j.Status != Queued || size > maxQueuedInput {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(j.ID)
	for len(k.ids) > 0 && (k.size+size > maxQueuedKnown || len(k.ids) >= maxQueuedKnown/queuedCost) {
		k.remove(k.ids[0])
		k.ids = k.ids[1:]
	}
	k.byID[j.ID] = j
	k.ids = append(k.ids, j.ID)
	k.size += size
}

// take returns a job and forgets it; nil if it is not known.
func (k *queuedJobs) take(id string) *Job {
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
