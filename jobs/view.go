package jobs

import (
	"encoding/json"
	"slices"
	"sync"
)

const (
	// maxViews is how large, in bytes, the views that are kept are in all, about.
	maxViews = 16 << 20
	// maxView is how large the input and the output of a job may be for its view to
	// be kept.
	maxView = 16 << 10
	// viewCost is how large a view is beside these.
	viewCost = 4 << 10
	// maxForms is in how many forms a view is kept.
	maxForms = 4
)

// A view is a job as its row was at one of its events, with what was made of it
// for those who asked. Whatever changes of a job has an event, so that it is the
// same while the row has the same newest event. Only the state of the newest
// callback changes without one.
type view struct {
	job   Job
	state state

	mu    sync.Mutex
	forms map[string][]byte
}

// Rendered returns what render makes of the job in a form, which names all that
// render needs beside the job. It is kept for those who ask for the same job in
// the same form, so nobody may change it.
func (j *Job) Rendered(form string, render func(*Job) ([]byte, error)) ([]byte, error) {
	if j.view == nil {
		return render(j)
	}
	j.view.mu.Lock()
	b, ok := j.view.forms[form]
	j.view.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := render(j)
	if err != nil {
		return nil, err
	}
	j.view.mu.Lock()
	defer j.view.mu.Unlock()
	if j.view.forms == nil || len(j.view.forms) >= maxForms {
		j.view.forms = make(map[string][]byte)
	}
	j.view.forms[form] = b
	return b, nil
}

// views are those of the jobs that were asked for lately.
type views struct {
	mu   sync.Mutex
	byID map[string]*view
	size int
}

func newViews() *views { return &views{byID: make(map[string]*view)} }

func (v *view) size() int { return viewCost + len(v.job.Input) + (maxForms+1)*len(v.job.Output) }

// get returns the view of a job; nil if there is none.
func (c *views) get(id string) *view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// keep keeps a view of a job that was read, in place of any others, and returns
// the job.
func (c *views) keep(j Job) Job {
	callback, err := json.Marshal(j.Callback)
	if err != nil || j.OutputOmitted || len(j.Input)+len(j.Output) > maxView {
		return j
	}
	// Whoever appends to a part of the job gets a copy of it.
	j.Input, j.Output, j.Metadata = slices.Clip(j.Input), slices.Clip(j.Output), slices.Clip(j.Metadata)
	j.Chain, j.History, j.Tags = slices.Clip(j.Chain), slices.Clip(j.History), slices.Clip(j.Tags)
	v := &view{job: j, state: state{version: j.version, events: j.events}}
	if v.job.view = v; j.Callback != nil {
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

// drop forgets the view of a job.
func (c *views) drop(id string) {
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
