package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// Copy implements [Store]. Files are linked where the file system can, because they never change. A
// link counts as much as a file of its own.
func (d *Dir) Copy(ctx context.Context, fromJob, toJob string, fileIDs []string) error {
	if !keys.ValidID("job_", fromJob) || !keys.ValidID("job_", toJob) {
		return fmt.Errorf("copy files of a job: %w", fs.ErrNotExist)
	}
	to := filepath.Join(d.path, toJob)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return saveError(err)
	}
	for _, id := range fileIDs {
		if !validFileID(id) {
			return fmt.Errorf("copy files of a job: %q is not the id of a file", id)
		}
		if err := d.copyFile(ctx, filepath.Join(d.path, fromJob, id), filepath.Join(to, id)); err != nil {
			return fmt.Errorf("copy %s: %w", id, err)
		}
	}
	return errors.Join(store.SyncDir(to), store.SyncDir(d.path))
}

// copyFile copies a file of the directory.
func (d *Dir) copyFile(ctx context.Context, from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return saveError(err)
	}
	if err := d.reserve(info.Size()); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	d.used.Add(-info.Size()) // write counts it
	in, err := os.Open(from) //nolint:gosec // the ids are valid
	if err != nil {
		return saveError(err)
	}
	defer in.Close()
	if _, _, err := d.write(ctx, to+partSuffix, in); err != nil {
		return saveError(err)
	}
	if err := os.Rename(to+partSuffix, to); err != nil {
		return saveError(err)
	}
	return nil
}

// Copy copies a directory of files to a new directory while it is in use. Complete files never
// change, so they are linked where the file system can. Copy does nothing if there is no directory.
func Copy(ctx context.Context, from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile, with its job
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if strings.HasSuffix(path, partSuffix) {
			return nil
		}
		if os.Link(path, target) == nil { //nolint:gosec // only the server writes there
			return nil
		}
		return copyIfExists(path, target)
	})
	if err != nil {
		return fmt.Errorf("copy the files of jobs: %w", err)
	}
	return nil
}

// copyIfExists copies a file to disk, unless it was deleted meanwhile.
func copyIfExists(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // the operator chooses the directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator chooses the directory
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close(), store.SyncDir(filepath.Dir(to)))
}
