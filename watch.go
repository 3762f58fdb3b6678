package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api/client"
	"coatcheck/api/client/watch"
)

// exitInterrupted is the exit code after an interrupt, as in shells.
const exitInterrupted = 130

func (p *program) watchCommand() *cobra.Command {
	server, v := "", &view{program: p}
	cmd := &cobra.Command{
		Use: "watch JOB", Short: "Watch a job until it ends", Args: oneArgument("JOB"),
		Long: "Watches a job, given by its token, its id or one of its URLs, until it ends, and prints its output. Progress and log lines\n" +
			"go to standard error. If the connection breaks, the command reconnects and resumes. With --json, each event is a line of JSON\n" +
			"on standard output. The exit code is 0 if the job succeeded, 1 if not, and 130 after Ctrl-C, which does not stop the job.\n" +
			"An id requires credentials, a token does not. " + credentialsHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.newClient(server)
			if err != nil {
				return err
			}
			job, err := c.Job(args[0])
			if err != nil {
				return err
			}
			v.client, v.server, v.name = c, job.Server, args[0]
			return v.follow(cmd.Context(), job.Events())
		},
	}
	p.addURLFlag(cmd.Flags(), &server)
	cmd.Flags().BoolVar(&v.json, "json", false, "print each event as a line of JSON")
	return cmd
}

// follow prints the events of a job until it ends.
func (v *view) follow(ctx context.Context, stream *watch.Stream) error {
	defer v.begin()()
	stream.Lost = func(err error, wait time.Duration) error {
		if !v.connected {
			return err // the URL is probably wrong
		}
		v.printLost(err, wait)
		return nil
	}
	for e, err := range stream.Events(ctx) {
		if err != nil {
			return v.streamError(ctx, err)
		}
		v.connected, v.lost = true, false
		if ended, err := v.show(e); ended || err != nil {
			return err
		}
	}
	return errors.New("the event stream ended without the end of the job")
}

// printLost says that the connection is lost: on a terminal in one line that is updated, elsewhere once.
func (v *view) printLost(err error, wait time.Duration) {
	switch {
	case v.terminal:
		v.mu.Lock()
		defer v.mu.Unlock()
		v.draw(progressBar{text: fmt.Sprintf("Connection lost (%s); retrying in %s.", client.Brief(err), wait.Round(time.Second))})
	case !v.lost:
		v.println("Connection lost (%s); reconnecting.", client.Brief(err))
	}
	v.lost = true
}

// streamError returns the error for a stream that cannot be resumed.
func (v *view) streamError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return v.interrupted()
	}
	if errors.Is(err, watch.ErrTooLarge) {
		return fmt.Errorf("watch: %w", err)
	}
	return v.server.ExplainStream(err)
}

// interrupted returns the error after an interrupt, with the command to watch again.
func (v *view) interrupted() error {
	again := "coatcheck watch "
	if v.client.URL != client.DefaultURL {
		again += "--url " + v.client.URL + " "
	}
	return &exitError{exitInterrupted, fmt.Errorf("interrupted; the job continues. To watch it again, run: %s%s", again, v.name)}
}
