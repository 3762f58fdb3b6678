package queue

import (
	"encoding/json"
	"slices"
	"sync"

	"coatcheck/jobs"
)

const (
	// maxViews is the approximate maximum size of all cached views, in bytes.
	maxViews = 16 << 20
	// maxView is the maximum size of a job's inputs, outputs and metadata for its view to be cached,
	// in bytes.
	maxView = 16 << 10
	// viewCost is the approximate size of a view and its renderings without these, in bytes.
	viewCost = 4 << 10
)

// A view is a job as its row was at one of its events, with cached renderings. Every change of a
// job has an event, except the state of its newest callback. So a view is up to date while the row
// has the same newest event and callback state.
type view struct {
	job   jobs.Job
	state state
}

// views caches the views of recently read jobs.
type views struct {
	mu   sync.Mutex // guards byID and size
	byID map[string]*view
	size int
}

func newViews() *views { return &views{byID: make(map[string]*view)} }

func (v *view) size() int {
	return viewCost + contentSize(&v.job) + jobs.MaxRenderings*(len(v.job.Input)+len(v.job.Output)+len(v.job.Metadata))
}

// contentSize returns the size of a job's inputs, outputs and metadata, in bytes.
func contentSize(j *jobs.Job) int {
	size := len(j.Output) + len(j.Metadata)
	for _, step := range j.Chain {
		size += len(step.Input) + len(step.Output)
	}
	return size
}

// get returns the view of a job; nil if it is not cached.
func (c *views) get(id string) *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// update replaces the view of a job by the row that this process has just committed.
func (c *views) update(j jobs.Job) {
	if c.get(j.ID) != nil {
		c.put(j)
	}
}

// put caches a view of a job that was read or committed, evicts others if necessary, and returns the job.
func (c *views) put(j jobs.Job) jobs.Job {
	callback, err := json.Marshal(j.Callback)
	if err != nil || j.OutputOmitted || contentSize(&j) > maxView {
		return j
	}
	// Clipped, so that appending to a part of the job copies it.
	j.Input, j.Output, j.Metadata = slices.Clip(j.Input), slices.Clip(j.Output), slices.Clip(j.Metadata)
	j.Chain, j.History, j.Tags = slices.Clip(j.Chain), slices.Clip(j.History), slices.Clip(j.Tags)
	v := &view{job: j, state: state{version: j.Version, events: j.Events}}
	if v.job.CacheRenderings(); j.Callback != nil {
		v.state.callback = string(callback)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(j.ID)
	for id := range c.byID {
		if c.size+v.size() <= maxViews {
			break
		}
		c.remove(id)
	}
	c.byID[j.ID] = v
	c.size += v.size()
	return v.job
}

// evict removes the view of a job from the cache.
func (c *views) evict(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(id)
}

func (c *views) remove(id string) {
	if v, ok := c.byID[id]; ok {
		delete(c.byID, id)
		c.size -= v.size()
	}
}

const (
	// maxQueuedCache is the approximate maximum size of the cache in bytes. maxQueuedInput is the
	// maximum size of a cached job.
	maxQueuedCache = 8 << 20
	maxQueuedInput = 8 << 10
	// queuedCost is the approximate size of a job without its content, in bytes.
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

func queuedSize(j *jobs.Job) int { return contentSize(j) + queuedCost }

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
