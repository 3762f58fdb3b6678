//go:build unix

package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// workPrefix is the prefix of working directories. Each is locked (flock) by the process that
	// uses it, so that one without a lock belongs to a process that has died. Earlier versions used
	// another prefix and no locks.
	workPrefix = "coatcheck-work-"
	// newPrefix is that of directories that are not locked yet, which newGrace is enough for.
	newPrefix = "coatcheck-new-"
	newGrace  = time.Minute
)

// A workDir is a working directory that is in use.
type workDir struct {
	path string
	lock *os.File
}

// newWorkDir creates a working directory. It gets its name when it is locked.
func newWorkDir() (*workDir, error) {
	path, err := os.MkdirTemp("", newPrefix)
	if err != nil {
		return nil, err
	}
	w := &workDir{path: path}
	if w.lock, err = lockDir(path); err == nil {
		name := strings.Replace(filepath.Base(path), newPrefix, workPrefix, 1)
		if err = os.Rename(path, filepath.Join(filepath.Dir(path), name)); err == nil {
			w.path = filepath.Join(filepath.Dir(path), name)
			return w, nil
		}
	}
	w.remove()
	return nil, err
}

// remove deletes the directory.
func (w *workDir) remove() {
	removeAll(w.path)
	if w.lock != nil {
		w.lock.Close()
	}
}

// lockDir locks a directory of this user, which must not be a link. The lock ends with the process.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0) //nolint:gosec // only this user's directories
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || int(owner.Uid) != os.Getuid() {
			err = errors.New("the directory belongs to another user")
		}
	}
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// RemoveOrphans deletes the working directories of processes that have died.
func RemoveOrphans() {
	for _, prefix := range []string{workPrefix, newPrefix} {
		found, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // only a malformed pattern fails
		for _, path := range found {
			if info, err := os.Lstat(path); err != nil || prefix == newPrefix && time.Since(info.ModTime()) < newGrace {
				continue
			}
			if lock, err := lockDir(path); err == nil {
				(&workDir{path, lock}).remove()
			}
		}
	}
}
