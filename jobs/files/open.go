package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"coatcheck/jobs/store"
)

// Open opens a directory, which it creates if it is missing, and counts its files. The owner
// identifies the server: a directory of another server is refused, because its files would be swept
// as those of unknown jobs.
func Open(path, owner string, limits Limits) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory for files: %w", err)
	}
	if err := claim(path, owner); err != nil {
		return nil, err
	}
	d := &Dir{path: path, quota: quota{limits: limits}}
	return d, d.count()
}

// ownerFile is the name of the file that names the owner of a directory.
const ownerFile = "owner"

// claim checks that a directory has this owner. If it has none yet, the owner becomes this one.
func claim(dir, owner string) error {
	path := filepath.Join(dir, ownerFile)
	found, err := readOwner(path)
	if err == nil && found == "" {
		if err = setOwner(path, owner); err == nil {
			found, err = readOwner(path) // another process may have been first
		}
	}
	if err != nil {
		return fmt.Errorf("open the directory for files: %w", err)
	}
	if found != owner {
		return fmt.Errorf("files.dir: %s has the files of another server: choose another directory, or, if it was copied with its database from that server, delete the file %s", dir, path)
	}
	return nil
}

// readOwner returns the owner that a file names; "" if there is none.
func readOwner(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator chooses the path
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// setOwner creates the file that names the owner unless another process has created it meanwhile.
// The file appears at once with its content, so that neither a crash nor another process that starts
// at the same time finds an empty one.
func setOwner(path, owner string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ownerFile+"-*"+partSuffix)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(owner)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		found, err := readOwner(path)
		if err == nil && found == "" { // no hard links here, or an empty file of an earlier version
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			return err
		}
	}
	return store.SyncDir(filepath.Dir(path))
}

// count counts the bytes of all files.
func (d *Dir) count() error {
	var used int64
	err := filepath.WalkDir(d.path, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err == nil {
			used += info.Size()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count the bytes of files: %w", err)
	}
	d.used.Store(used)
	return nil
}
