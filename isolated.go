package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"coatcheck/api/bench"
	"coatcheck/jobs"
	"coatcheck/services/command"

	"github.com/spf13/cobra"
)

// isolatedCommand runs one service alone, for a process of ours that has
// started it and talks to it.
func (p *program) isolatedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run-isolated", Short: "Run one service alone, for the server", Args: noArguments, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry := new(jobs.Registry)
			p.services(registry)
			if wanted, err := cmd.Flags().GetBool("bench"); err == nil && wanted {
				bench.Register(registry)
			}
			in, out := p.stdin, p.stdout
			os.Stdout = os.Stderr // what a service prints is not for the server
			if null, err := os.Open(os.DevNull); err == nil {
				os.Stdin = null // nor is what the server says for a service
			}
			// A signal to all processes of a terminal is the server's to answer,
			// also that it is closed (SIGHUP).
			_, ignore := hangUps()
			defer ignore()
			return jobs.RunIsolated(context.WithoutCancel(cmd.Context()), registry, in, out)
		},
	}
	addBenchFlag(cmd)
	return cmd
}

// guardCommand runs a program for the server.
func guardCommand() *cobra.Command {
	return &cobra.Command{
		Use: command.GuardCommand, Short: "Run a program, for the server", Args: noArguments, Hidden: true,
		RunE: func(*cobra.Command, []string) error { return command.Guard() },
	}
}

// isolate returns the command that runs one service alone. What it writes to
// its standard error, such as why it crashed, goes where ours does.
func isolate(c *config) func(context.Context) (*exec.Cmd, error) {
	return func(ctx context.Context) (*exec.Cmd, error) {
		path, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		args := []string{"run-isolated"}
		if c.Bench {
			args = append(args, "--bench")
		}
		cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // this program itself
		cmd.Stderr = os.Stderr
		return cmd, nil
	}
}
