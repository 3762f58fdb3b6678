//go:build unix

package main

import (
	"math"
	"syscall"
)

// openFiles returns how many files, connections included, this process may have
// open. ok is false when the system does not say.
func openFiles() (files int64, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return int64(min(uint64(limit.Cur), math.MaxInt32)), true //nolint:unconvert // its type differs between systems
}
