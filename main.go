// Command coatcheck puts slow code behind an asynchronous HTTP API.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"coatcheck/api/client"
	"coatcheck/services"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	p := &program{os.Getenv, os.Stdin, os.Stdout, os.Stderr, services.Register}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// run runs the program until ctx is done, and returns its exit code: 0 for success, 2
// for usage and configuration errors, the code of an exitError, or 1 for other errors.
func (p *program) run(ctx context.Context, args []string) int {
	command := newCommand(p)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*client.ConnectionError](err); ok && !isExit(err) {
		err = e // what the command was doing does not matter
	}
	fmt.Fprintln(p.stderr, "coatcheck:", err)
	if _, usage := errors.AsType[*usageError](err); usage {
		return 2
	}
	if _, usage := errors.AsType[*client.ArgumentError](err); usage {
		return 2
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return 1
}

// An exitError is an error with its own exit code.
type exitError struct {
	code int
	error
}

func (e *exitError) Unwrap() error { return e.error }

// isExit reports whether an error has its own exit code.
func isExit(err error) bool {
	_, ok := errors.AsType[*exitError](err)
	return ok
}
