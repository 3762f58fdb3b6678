package files

import (
	"context"
	"errors"
	"io"
	"sync"

	"coatcheck/jobs"
)

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
func (r *Run) Open(ctx context.Context, jobID, fileID string) (io.ReadSeekCloser, error) {
	return r.store.Open(ctx, jobID, fileID)
}

// DeleteExcept deletes the files that the run has saved, except one; "" for none. The files of
// another run of the same job, which may have begun already, stay.
func (r *Run) DeleteExcept(ctx context.Context, jobID, keep string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, id := range r.ids {
		if id != keep {
			errs = append(errs, r.store.Delete(ctx, jobID, id))
		}
	}
	r.ids = nil
	return errors.Join(errs...)
}
