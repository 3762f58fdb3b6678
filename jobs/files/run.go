package files

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"coatcheck/jobs"
)

// A Store stores the files of jobs.
type Store interface {
	jobs.FileStore
	// Copy copies files of a job to another job, under the same ids.
	Copy(ctx context.Context, fromJob, toJob string, fileIDs []string) error
	// Delete deletes a file of a job.
	Delete(jobID, fileID string) error
	// Remove deletes all files of a job.
	Remove(jobID string) error
	// Sweep deletes the files that no job needs: of ended jobs all but their input and output, and
	// of jobs that do not exist all that are older than an hour, because an upload precedes its
	// job. They are left when a process dies. states returns the jobs that exist.
	Sweep(ctx context.Context, states func(context.Context, []string) (map[string]State, error)) error
}

// A Run is the [jobs.FileStore] of one run of a job. It knows which files the run has saved.
type Run struct {
	store Store

	mu  sync.Mutex // guards ids
	ids []string
}

// NewRun returns the store of a run that saves its files in s.
func NewRun(s Store) *Run { return &Run{store: s} }

// Save implements [jobs.FileStore].
func (r *Run) Save(ctx context.Context, jobID, name, contentType string, from io.Reader) (jobs.File, error) {
	f, err := r.store.Save(ctx, jobID, name, contentType, from)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids = append(r.ids, f.ID)
	}
	return f, err
}

// Open implements [jobs.FileStore].
func (r *Run) Open(jobID, fileID string) (*os.File, error) { return r.store.Open(jobID, fileID) }

// DeleteExcept deletes the files that the run has saved, except one; "" for none. The files of
// another run of the same job, which may have begun already, stay.
func (r *Run) DeleteExcept(jobID, keep string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, id := range r.ids {
		if id != keep {
			errs = append(errs, r.store.Delete(jobID, id))
		}
	}
	r.ids = nil
	return errors.Join(errs...)
}
