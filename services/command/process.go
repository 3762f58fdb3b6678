package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"coatcheck/jobs"
)

// GuardCommand is the argument with which this program starts itself as the guard of
// another program; see [Guard].
const GuardCommand = "run-command"

const (
	// maxGrace is how long a program may take at most to end after SIGTERM. Then it is
	// killed.
	maxGrace = 5 * time.Second
	// guardGrace is how much longer the guard may take.
	guardGrace = 2 * time.Second
)

// A process is a program to be run.
type process struct {
	arguments, environment []string
	dir                    string // the working directory
	stdin                  []byte // nil for none
	stdout, stderr         io.Writer
	messages               io.Writer     // gets what the program writes to file descriptor 3
	grace                  time.Duration // between SIGTERM and SIGKILL
	limits                 limits
}

// An order is what a guard reads from file descriptor 4 before it starts a program. At
// the end of that file, because the server has died, it kills the program.
type order struct {
	Arguments   []string      `json:"arguments"`
	Environment []string      `json:"environment"`
	Dir         string        `json:"dir"`
	Grace       time.Duration `json:"grace"`
	Limits      limits        `json:"limits"`
}

// An ending is how a program ended, which its guard writes to file descriptor 5. Before
// that, it writes the process group of the program that it has started.
type ending struct {
	Group  int    `json:"group,omitempty"`
	Status int    `json:"status"`
	Signal string `json:"signal,omitempty"`
	Error  string `json:"error,omitempty"` // why it could not be started
	// Permanent means that it could not be started another time either.
	Permanent bool `json:"permanent,omitempty"`
}

// run runs the program under a guard until it has ended, and everything that it started.
// When ctx is done, the program gets SIGTERM, and SIGKILL after the grace.
func (p *process) run(ctx context.Context) (end ending, err error) {
	self, err := thisProgram()
	if err != nil {
		return ending{}, fmt.Errorf("find this program: %w", err)
	}
	text, err := json.Marshal(order{p.arguments, p.environment, p.dir, p.grace, p.limits})
	if err != nil {
		return ending{}, err
	}
	var pipes pipes
	defer pipes.close()
	messages, control, report := pipes.open(), pipes.open(), pipes.open()
	if pipes.err != nil {
		return ending{}, fmt.Errorf("make pipes: %w", pipes.err)
	}
	cmd := &exec.Cmd{Path: self, Args: []string{os.Args[0], GuardCommand}, Env: []string{}}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p.stdout, p.stderr, guardGrace
	if p.stdin != nil {
		cmd.Stdin = bytes.NewReader(p.stdin)
	}
	cmd.ExtraFiles = []*os.File{messages.w, control.r, report.w}
	cmd.SysProcAttr = ofGuard()
	if err := cmd.Start(); err != nil {
		return ending{}, fmt.Errorf("start the guard of the program: %w", err)
	}
	messages.w.Close()
	control.r.Close()
	report.w.Close()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(p.messages, messages.r) })
	ended := make(chan struct{})
	wg.Go(func() {
		_, _ = control.w.Write(append(text, '\n')) // the guard is gone if this fails
		select {
		case <-ended:
			return
		case <-ctx.Done():
			_, _ = io.WriteString(control.w, stopOrder)
		}
		select {
		case <-ended:
		case <-time.After(p.grace + guardGrace):
			_ = cmd.Process.Kill()
		}
	})
	reports := json.NewDecoder(io.LimitReader(report.r, 64<<10))
	reported, group := reports.Decode(&end), end.Group
	if reported == nil && group != 0 {
		end = ending{}
		reported = reports.Decode(&end)
	}
	waited := cmd.Wait()
	close(ended)
	if reported != nil && group != 0 {
		killGroup(group)
	}
	_ = messages.r.SetReadDeadline(time.Now().Add(guardGrace)) // elsewhere than on Linux, a descendant may hold it open
	wg.Wait()
	switch {
	case ctx.Err() != nil:
		return ending{}, ctx.Err()
	case reported != nil:
		return ending{}, fmt.Errorf("the guard of the program ended without a report: %w", errors.Join(waited, reported))
	case end.Permanent:
		return ending{}, errors.Join(errors.New(end.Error), jobs.ErrPermanent)
	case end.Error != "":
		return ending{}, errors.New(end.Error)
	}
	return end, nil
}

// stopOrder asks a guard to end its program.
const stopOrder = "stop\n"

// A pipe connects the server with a guard.
type pipe struct{ r, w *os.File }

// pipes are some of them, with the first error.
type pipes struct {
	all []pipe
	err error
}

func (p *pipes) open() pipe {
	r, w, err := os.Pipe()
	if err != nil {
		p.err = err
		return pipe{}
	}
	p.all = append(p.all, pipe{r, w})
	return pipe{r, w}
}

func (p *pipes) close() {
	for _, one := range p.all {
		one.r.Close()
		one.w.Close()
	}
}
