//go:build !unix

package command

import "os"

// A workDir is a working directory that is in use.
type workDir struct{ path string }

func newWorkDir() (*workDir, error) {
	path, err := os.MkdirTemp("", "coatcheck-work-")
	return &workDir{path}, err
}

func (w *workDir) remove() { removeAll(w.path) }

// RemoveOrphans does nothing on this system, which runs no programs.
func RemoveOrphans() {}
