//go:build !unix

package command

import (
	"errors"
	"os"
	"syscall"
)

const supported = false

func thisProgram() (string, error) { return os.Executable() }

// Guard fails: programs are run on Unix only.
func Guard() error { return errors.New("programs can be run on Unix only") }

func ofGuard() *syscall.SysProcAttr { return nil }

func killGroup(int) {}
