//go:build unix

package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Guard runs a program for the server that has started this process, and ends when the
// program has ended and with it all that it started, on Linux also what left its process
// group. It ends them when the server asks for it, and at once when the server dies.
func Guard() error {
	runtime.LockOSThread() // the parent death signal is bound to the thread
	// Signals are for the server to answer. They are not ignored, or the program would
	// inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGPIPE)
	messages, control, report := os.NewFile(3, "messages"), os.NewFile(4, "control"), os.NewFile(5, "report")
	for _, f := range []*os.File{control, report} {
		syscall.CloseOnExec(int(f.Fd()))
	}
	adoptOrphans()
	lines := bufio.NewReader(control)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	end := guard(&o, messages, lines)
	return json.NewEncoder(report).Encode(end)
}

// guard runs a program to its end.
func guard(o *order, messages *os.File, control *bufio.Reader) ending {
	path, err := lookPath(o)
	if err != nil {
		return ending{Error: err.Error()}
	}
	cmd := &exec.Cmd{
		Path: path, Args: o.Arguments, Env: o.Environment, Dir: o.Dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{messages}, SysProcAttr: guarded(),
	}
	if err := cmd.Start(); err != nil {
		return ending{Error: fmt.Sprintf("start the program: %s", err)}
	}
	messages.Close()
	os.Stdout.Close() // the server reads until nothing has them open
	os.Stderr.Close()
	group := cmd.Process.Pid
	exited := make(chan struct{})
	var orphaned atomic.Bool
	go func() { // until the process exits
		line, err := control.ReadString('\n')
		if err != nil {
			orphaned.Store(true)
		} else if line == stopOrder {
			_ = syscall.Kill(-group, syscall.SIGTERM)
			select {
			case <-exited:
				return
			case <-time.After(o.Grace):
			}
		}
		killAll(group, group)
	}()
	err = cmd.Wait()
	close(exited)
	killAll(group, 0)
	if orphaned.Load() {
		os.RemoveAll(o.Dir)
	}
	return endingOf(cmd.ProcessState, err)
}

// lookPath finds the program in the PATH that it gets.
func lookPath(o *order) (string, error) {
	name := o.Arguments[0]
	if !strings.Contains(name, "/") {
		for _, variable := range o.Environment {
			if path, ok := strings.CutPrefix(variable, "PATH="); ok {
				os.Setenv("PATH", path) // the last one counts
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("start the program: %w", err)
	}
	return path, nil
}

func endingOf(state *os.ProcessState, err error) ending {
	if state == nil {
		return ending{Error: fmt.Sprintf("wait for the program: %s", err)}
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return ending{Status: -1, Signal: status.Signal().String()}
	}
	return ending{Status: state.ExitCode()}
}

// killAll kills a process group and all descendants of this process, until there are
// none. Those other than main, which somebody waits for, are waited for here.
func killAll(group, main int) {
	for range 1000 {
		if group != 0 && (syscall.Kill(-group, syscall.SIGKILL) != nil || main == 0) {
			group = 0 // it is empty; its number may be given to others
		}
		left := children()
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			if pid != main {
				_, _ = syscall.Wait4(pid, nil, 0, nil)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(time.Millisecond) // their children become ours
	}
}

// ownGroup keeps signals of a terminal, which the server answers, from a guard.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
