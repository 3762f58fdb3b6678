package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Check implements [Store]: it writes a small file, reads it, and deletes it.
func (d *Dir) Check(context.Context) error {
	const content = "ok"
	path := filepath.Join(d.path, ".check-"+rand.Text()) // other processes check the directory too
	err := os.WriteFile(path, []byte(content), 0o600)
	if err == nil {
		var read []byte
		if read, err = os.ReadFile(path); err == nil && string(read) != content { //nolint:gosec // the file just written
			err = errors.New("read other bytes than were written")
		}
	}
	if removeErr := os.Remove(path); err == nil {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("check the directory of files: %w", err)
	}
	return nil
}

// Check implements [Store]: it reads the object that names the owner of the files.
func (s *S3) Check(ctx context.Context) error {
	found, err := s.readOwner(ctx)
	if err != nil {
		return openError(&s.config, err)
	}
	return s.checkOwner(found, s.owner)
}

// Used implements [Store].
func (q *quota) Used() (bytes, limit int64) { return q.used.Load(), q.limits.Total }
