//go:build unix

package command

import (
	"bufio"
	"encoding/json"
	"errors"
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
	g := &guardian{order: &o, control: lines, report: json.NewEncoder(report), exited: make(chan struct{})}
	return g.report.Encode(g.run(messages))
}

// A guardian runs a program to its end.
type guardian struct {
	order    *order
	control  *bufio.Reader
	report   *json.Encoder
	group    int           // of the program
	exited   chan struct{} // closed when the program itself has exited
	stopBy   atomic.Int64  // when the grace after a stop order is over, in nanoseconds since 1970
	orphaned atomic.Bool   // the server has died
}

func (g *guardian) run(messages *os.File) ending {
	path, err := lookPath(g.order)
	if err != nil {
		return ending{Error: err.Error()}
	}
	path, arguments, err := g.order.Limits.limited(path, g.order.Arguments)
	if err != nil {
		return ending{Error: err.Error()}
	}
	cmd := &exec.Cmd{
		Path: path, Args: arguments, Env: g.order.Environment, Dir: g.order.Dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{messages}, SysProcAttr: ofProgram(),
	}
	if err := cmd.Start(); err != nil {
		lasting := errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ENOEXEC)
		return ending{Error: fmt.Sprintf("start the program: %s", err), Permanent: lasting}
	}
	messages.Close()
	os.Stdout.Close() // the server reads until nothing has them open
	os.Stderr.Close()
	g.group = cmd.Process.Pid
	if err := g.report.Encode(ending{Group: g.group}); err != nil {
		g.orphaned.Store(true)
	}
	go g.obey() // until the process exits
	err = cmd.Wait()
	close(g.exited)
	g.awaitGroup()
	killAll(g.group, 0)
	if g.orphaned.Load() {
		removeAll(g.order.Dir)
	}
	return endingOf(cmd.ProcessState, err)
}

// obey ends the program when the server asks for it, and at once when the server dies.
func (g *guardian) obey() {
	for {
		line, err := g.control.ReadString('\n')
		if err != nil {
			g.orphaned.Store(true)
			g.stopBy.Store(0)
			killAll(g.group, g.running())
			return
		}
		if line == stopOrder {
			g.stopBy.Store(time.Now().Add(g.order.Grace).UnixNano())
			_ = syscall.Kill(-g.group, syscall.SIGTERM)
			time.AfterFunc(g.order.Grace, func() { killAll(g.group, g.running()) })
		}
	}
}

// running returns the process id of the program while it runs, and then 0.
func (g *guardian) running() int {
	select {
	case <-g.exited:
		return 0
	default:
		return g.group
	}
}

// awaitGroup gives the rest of the program's process group, such as what a shell has
// started, the time until the grace is over.
func (g *guardian) awaitGroup() {
	for time.Now().UnixNano() < g.stopBy.Load() {
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if syscall.Kill(-g.group, 0) != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
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

// ofGuard gives a guard a session of its own: signals of a terminal are for the server.
func ofGuard() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// killGroup kills the process group of a program whose guard has died.
func killGroup(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }
