package jobs

import "sync"

// MaxRenderings is the maximum number of renderings cached per job.
const MaxRenderings = 4

// renderings caches the renderings of a job as it was at one of its events.
type renderings struct {
	mu     sync.Mutex // guards byForm
	byForm map[string][]byte
}

// CacheRenderings makes Rendered cache its results, for this value of the job and its copies.
func (j *Job) CacheRenderings() { j.renderings = new(renderings) }

// Rendered returns the result of render for the job. form must identify everything else that the
// result depends on. The result is cached by form and must not be changed.
func (j *Job) Rendered(form string, render func(*Job) ([]byte, error)) ([]byte, error) {
	if j.renderings == nil {
		return render(j)
	}
	j.renderings.mu.Lock()
	b, ok := j.renderings.byForm[form]
	j.renderings.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := render(j)
	if err != nil {
		return nil, err
	}
	j.renderings.mu.Lock()
	defer j.renderings.mu.Unlock()
	if j.renderings.byForm == nil || len(j.renderings.byForm) >= MaxRenderings {
		j.renderings.byForm = make(map[string][]byte)
	}
	j.renderings.byForm[form] = b
	return b, nil
}
