package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"coatcheck/jobs/keys"
)

// Remove implements [Store].
func (d *Dir) Remove(jobID string) error { return d.keep(jobID, "") }

// Delete implements [Store].
func (d *Dir) Delete(jobID, fileID string) error {
	if keys.ValidID("job_", jobID) && keys.ValidID("file_", fileID) {
		d.removeFile(filepath.Join(d.path, jobID, fileID))
		_ = os.Remove(filepath.Join(d.path, jobID)) // fails if the job has other files
	}
	return nil
}

// keep deletes all files of a job except one; "" keeps none.
func (d *Dir) keep(jobID, fileID string) error {
	if !keys.ValidID("job_", jobID) {
		return nil
	}
	dir := filepath.Join(d.path, jobID)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete the files of a job: %w", err)
	}
	kept := 0
	for _, entry := range entries {
		if entry.Name() == fileID {
			kept++
			continue
		}
		d.removeFile(filepath.Join(dir, entry.Name()))
	}
	if kept > 0 {
		return nil
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the files of a job: %w", err)
	}
	return nil
}

// removeFile deletes a file. If that fails, a later sweep tries again.
func (d *Dir) removeFile(path string) {
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	if os.Remove(path) == nil {
		d.used.Add(-info.Size())
	}
}

// A State is what the database knows of a job with files.
type State struct {
	// Done reports whether the job has ended, so that it needs only the file File; "" for none.
	Done bool
	File string
}

// sweepBatch is how many jobs a sweep looks up at once.
const sweepBatch = 500

// Sweep implements [Store].
func (d *Dir) Sweep(ctx context.Context, states func(context.Context, []string) (map[string]State, error)) error {
	root, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("sweep files: %w", err)
	}
	defer root.Close()
	for ctx.Err() == nil {
		names, err := root.Readdirnames(sweepBatch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("sweep files: %w", err)
		}
		found, err := states(ctx, names)
		if err != nil {
			return err
		}
		for _, id := range names {
			if state, exists := found[id]; !exists || state.Done {
				if err := d.keep(id, state.File); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(ctx.Err(), d.count())
}
