//go:build unix

package jobstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Server is a private PostgreSQL, PgBouncer or Redis that a test may stop, kill and freeze.
type Server struct {
	Addr string // such as "127.0.0.1:5432"

	t       testing.TB
	command func() *exec.Cmd
	ready   func(ctx context.Context) error
	process *exec.Cmd
	exited  chan struct{} // closed when the process has exited
	output  bytes.Buffer  // of the process, to be read when it has exited
}

// FindAddr returns a free address on this machine for a program to listen on. The port is below the
// ephemeral range, so that no other program is likely to take it meanwhile.
func FindAddr() (string, error) {
	for range 100 {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.N(15_000))) //nolint:gosec // any port will do
		if err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", errors.New("no free port")
}

// FreeAddr is [FindAddr] for a test.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := FindAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Start starts the server and waits until it is ready.
func (s *Server) Start() {
	s.t.Helper()
	s.launch()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = s.ready(context.Background()); err == nil {
			return
		}
		select {
		case <-s.exited: // perhaps its predecessor was not gone yet
			s.t.Logf("%s exited and is started again: %s", s.process.Path, &s.output)
			time.Sleep(200 * time.Millisecond)
			s.launch()
		default:
		}
	}
	s.t.Fatalf("%s does not answer: %v", s.process.Path, err)
}

// launch starts the process.
func (s *Server) launch() {
	s.t.Helper()
	s.output.Reset()
	s.process = s.command()
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	s.process.WaitDelay = time.Second // a child of a killed process may keep its output open
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		_ = process.Wait() // it was stopped, or its output shows the reason
		close(exited)
	}(s.process, s.exited)
}

// accepts reports whether the server accepts connections.
func (s *Server) accepts(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
	if err == nil {
		conn.Close()
	}
	return err
}

// Kill kills the server, if it runs, without a clean shutdown.
func (s *Server) Kill() {
	s.t.Helper()
	if s.process == nil {
		return
	}
	// Stopped first, so that it cannot fork a process that survives: PostgreSQL does not start
	// while an old process is alive.
	_ = s.process.Process.Signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(5 * time.Second); !s.suspended() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	s.signal(syscall.SIGKILL)
	<-s.exited
	s.process = nil
}

// Stop shuts the server down without waiting for its clients (SIGINT).
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.process.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
	s.process = nil
}

// suspended reports whether the process has been suspended or has exited: a signal takes effect
// only after it was sent.
func (s *Server) suspended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	_, state, found := strings.Cut(string(stat), ") ")
	return err != nil || !found || strings.HasPrefix(state, "T") || strings.HasPrefix(state, "Z")
}

// Freeze suspends the server until Thaw.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
}

// Thaw resumes the server.
func (s *Server) Thaw() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

// signal sends a signal to all of the server's processes that still run.
func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	for _, pid := range s.pids() {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.t.Error(err)
		}
	}
}

// pids returns the server's process ids. PostgreSQL's processes are in different groups.
func (s *Server) pids() []int {
	pids := []int{s.process.Process.Pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", s.process.Process.Pid))
	for field := range strings.FieldsSeq(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Reverse(pids)
	return pids
}
