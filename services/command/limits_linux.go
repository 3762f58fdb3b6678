package command

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

// canLimit means that programs can be limited on this system.
const canLimit = true

// killAfter is how many seconds of processor time a program has after the signal that tells
// it that there are none left (SIGXCPU).
const killAfter = 2

// become limits this process and makes it the program.
func (l limits) become(path string, arguments []string) error {
	// Below the limit of memory, which it may exceed already, this process must not need more.
	debug.SetGCPercent(-1)
	environment := os.Environ()
	for _, limit := range []struct {
		resource int
		value    int64
		more     int64 // until the hard limit
	}{
		{syscall.RLIMIT_CPU, l.CPU, killAfter},
		{syscall.RLIMIT_NOFILE, l.OpenFiles, 0},
		{syscall.RLIMIT_AS, l.Memory, 0}, // the last, because this process may need more
	} {
		if limit.value == 0 {
			continue
		}
		soft := uint64(limit.value)              //nolint:gosec // not negative
		hard := uint64(limit.value + limit.more) //nolint:gosec // not negative
		if err := syscall.Setrlimit(limit.resource, &syscall.Rlimit{Cur: soft, Max: hard}); err != nil {
			return fmt.Errorf("limit the program: %w", err)
		}
	}
	if err := syscall.Exec(path, arguments, environment); err != nil { //nolint:gosec // the operator's program
		return fmt.Errorf("start the program: %w", err)
	}
	return nil
}
