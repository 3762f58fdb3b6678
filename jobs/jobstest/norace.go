//go:build !race

package jobstest

// Race reports whether the race detector is on. With it, SQLite takes twenty times as long.
const Race = false
