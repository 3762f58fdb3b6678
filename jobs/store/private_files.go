package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// privateMode is the mode of all files in a data directory. They contain inputs, outputs and keys,
// which other users of the machine must not read.
const privateMode = 0o600

// makePrivate creates an empty file that only its owner can read, whatever the umask is, before
// SQLite opens it. The -wal and -shm files inherit its mode. An existing file is not opened,
// because closing it would release SQLite's locks on it.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, privateMode) //nolint:gosec // the operator chooses the path
	switch {
	case errors.Is(err, fs.ErrExist):
		return restrict(path)
	case err != nil:
		return err
	}
	return errors.Join(f.Close(), restrict(path))
}

// restrict removes other users' access to a file, if it exists. A file that belongs to another user
// cannot be changed and stays as it is.
func restrict(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Perm() == privateMode {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(path, privateMode); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// restrictDir restricts all existing files of a data directory.
func restrictDir(dir string) error {
	var errs []error
	for _, name := range []string{DatabaseFile, lockFile} {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			errs = append(errs, restrict(filepath.Join(dir, name+suffix)))
		}
	}
	return errors.Join(append(errs, restrict(filepath.Join(dir, SecretFile)))...)
}
