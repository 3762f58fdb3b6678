package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nobody else on the machine can read what is in a data directory or a backup,
// even if the directory is open to all, was made with other modes, or the umask
// allows everything.
func TestFilesArePrivate(t *testing.T) {
	s := newShell(t)
	s.run("umask 0; mkdir open old; chmod 755 open old")
	s.start("bash -c 'umask 0; exec coatcheck --data open'")
	s.ready()
	s.run("coatcheck run maths.add a=1 b=2")
	s.run("umask 0; coatcheck backup --data open copy")
	s.run("umask 0; cp open/* old; chmod 644 old/*; coatcheck backup --data old other")
	for _, dir := range []string{"open", "copy", "other"} {
		expectPrivate(t, filepath.Join(s.dir, dir), map[bool]int{true: 4, false: 2}[dir == "open"])
	}
}

func expectPrivate(t *testing.T, dir string, least int) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", strings.TrimPrefix(path, dir), info.Mode())
		}
		return nil
	})
	if err != nil || files < least {
		t.Errorf("%s has %d files, want at least %d: %v", dir, files, least, err)
	}
}
