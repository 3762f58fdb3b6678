package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"coatcheck/api/bench"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/isolated"
	"coatcheck/services/command"
)

// isolatedCommand returns the command of an isolated run. The server starts it and
// communicates with it over standard input and output.
func (p *program) isolatedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run-isolated", Short: "Run a job in a process of its own (internal)", Args: noArguments, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			registry := new(jobs.Registry)
			p.services(registry)
			if wanted, err := cmd.Flags().GetBool("bench"); err == nil && wanted {
				bench.Register(registry)
			}
			in, out := p.stdin, p.stdout
			os.Stdout = os.Stderr // services must not write to the server
			if null, err := os.Open(os.DevNull); err == nil {
				os.Stdin = null // nor read what the server sends
			}
			// A terminal signals all its processes. Leave that to the server: ignore
			// interrupts, and SIGHUP when the terminal is closed.
			_, stop := notifyHangup()
			defer stop()
			stored, err := p.sharedFiles()
			if err != nil {
				return err
			}
			return isolated.Run(context.WithoutCancel(cmd.Context()), registry, stored, in, out)
		},
	}
	addBenchFlag(cmd)
	return cmd
}

// sharedFilesVariable is the environment variable that tells an isolated run where jobs store files,
// as JSON. It contains secrets, so it is no argument, which other users of the machine could read.
const sharedFilesVariable = "COATCHECK_ISOLATED_FILES"

// sharedFiles returns the store of the server that started this process; nil if it has none.
func (p *program) sharedFiles() (files.Store, error) {
	text := p.getenv(sharedFilesVariable)
	if err := os.Unsetenv(sharedFilesVariable); err != nil { // programs that the job starts inherit it
		return nil, err
	}
	if text == "" {
		return nil, nil
	}
	var share *files.Share
	if err := json.Unmarshal([]byte(text), &share); err != nil {
		return nil, fmt.Errorf("read %s: %w", sharedFilesVariable, err)
	}
	return share.Open()
}

// guardCommand returns the command that runs a program for a service.
func guardCommand() *cobra.Command {
	return &cobra.Command{
		Use: command.GuardCommand, Short: "Run a program for a service (internal)", Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return command.Become(args)
			}
			return command.Guard()
		},
	}
}

// isolate returns the function that creates the command of an isolated run. Its
// standard error, such as the trace of a crash, goes to this process's.
func isolate(c *config, store files.Store) func(context.Context) (*exec.Cmd, error) {
	return func(ctx context.Context) (*exec.Cmd, error) {
		path, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the path of this program: %w", err)
		}
		args := []string{"run-isolated"}
		if c.Bench {
			args = append(args, "--bench")
		}
		cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // this program itself
		cmd.Stderr = os.Stderr
		if store != nil {
			share, err := json.Marshal(store.Share())
			if err != nil {
				return nil, err
			}
			cmd.Env = append(os.Environ(), sharedFilesVariable+"="+string(share))
		}
		return cmd, nil
	}
}
