//go:build unix

package main

import (
	"math"
	"syscall"
)

// openFiles returns the limit of open files of this process, which includes
// connections. ok is false if the limit is unknown.
func openFiles() (files int64, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int64(min(uint64(limit.Cur), math.MaxInt32)), true //nolint:unconvert // the type of Cur differs between systems
}
