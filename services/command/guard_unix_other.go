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

// ofProgram gives a program a session and a process group of its own, without a terminal
// that it could wait for.
func ofProgram() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// children returns none: here a program's descendants are found by its process group only.
func children() []int { return nil }
