package command

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// supported means that programs can be run on this system.
const supported = true

// thisProgram returns the path of this program, also after an upgrade has replaced its
// file.
func thisProgram() (string, error) { return "/proc/self/exe", nil }

// adoptOrphans makes this process the parent of its descendants whose parents end, so
// that it finds them.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// ofProgram gives a program a session and a process group of its own, without a terminal
// that it could wait for, and ends it with its guard.
func ofProgram() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// children returns the process ids of this process's children.
func children() (pids []int) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
