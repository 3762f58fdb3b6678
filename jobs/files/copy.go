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

	"coatcheck/jobs/store"
)

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
		return copyFile(path, target)
	})
	if err != nil {
		return fmt.Errorf("copy the files of jobs: %w", err)
	}
	return nil
}

// copyFile copies a file to disk, unless it was deleted meanwhile.
func copyFile(from, to string) error {
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
