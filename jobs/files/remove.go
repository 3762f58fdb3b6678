package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
)

// Remove implements [Store].
func (d *Dir) Remove(_ context.Context, jobID string) error {
	return d.deleteFiles(jobID, func(string) bool { return true })
}

// Delete implements [Store].
func (d *Dir) Delete(_ context.Context, jobID, fileID string) error {
	if keys.ValidID("job_", jobID) && validFileID(fileID) {
		d.removeFile(filepath.Join(d.path, jobID, fileID))
		_ = os.Remove(filepath.Join(d.path, jobID)) // fails if the job has other files
	}
	return nil
}

// deleteFiles deletes the unwanted files of a job.
func (d *Dir) deleteFiles(jobID string, unwanted func(name string) bool) error {
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
		if !unwanted(entry.Name()) {
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
	// Done reports whether the job has ended, so that it needs only the files of its input and the
	// file Output; "" for none.
	Done   bool
	Output string
}

// needs reports whether a job that has ended needs a file.
func (s *State) needs(fileID string) bool {
	return fileID == s.Output || keys.ValidID(jobs.UploadPrefix, fileID)
}

// uploadGrace is how old the files of an unknown job must be before they are deleted: the job may be
// about to be created.
const uploadGrace = time.Hour

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
			if err := d.sweepJob(ctx, id, found); err != nil {
				return err
			}
		}
	}
	return errors.Join(ctx.Err(), d.count())
}

// sweepJob deletes the files that a job does not need.
func (d *Dir) sweepJob(ctx context.Context, id string, found map[string]State) error {
	state, exists := found[id]
	switch {
	case !exists && d.changed(id).Before(time.Now().Add(-uploadGrace)):
		return d.Remove(ctx, id)
	case exists && state.Done:
		return d.deleteFiles(id, func(name string) bool { return !state.needs(name) })
	}
	return nil
}

// changed returns when a file of the job was written last; the zero time if it has none.
func (d *Dir) changed(jobID string) (last time.Time) {
	dir := filepath.Join(d.path, jobID)
	entries, _ := os.ReadDir(dir) // it may be deleted meanwhile
	paths := []string{dir}
	for _, entry := range entries {
		paths = append(paths, filepath.Join(dir, entry.Name()))
	}
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
