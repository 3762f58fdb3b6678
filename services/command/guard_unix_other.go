//go:build unix && !linux

package command

import (
	"os"
	"syscall"
)

// supported means that programs can be run on this system.
const supported = true

func thisProgram() (string, error) { return os.Executable() }

func adoptOrphans() {}

// guarded gives a program a process group of its own.
func guarded() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// children returns none: here a program's descendants are found by its process group only.
func children() []int { return nil }
