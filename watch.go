package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"coatcheck/api/client"
	"coatcheck/api/client/watch"

	"github.com/spf13/cobra"
)

// exitInterrupted is the exit code of a shell's command that was interrupted.
const exitInterrupted = 130

func (p *program) watchCommand() *cobra.Command {
	server, v := "", &view{program: p}
	cmd := &cobra.Command{
		Use: "watch JOB", Short: "Watch a job until it ends", Args: oneArgument("JOB"),
		Long: "Watches a job, given by its token, its id or one of its URLs, until it ends, and prints its output. What happens meanwhile\n" +
			"goes to standard error. A connection that breaks is made again, and goes on where it was. With --json, each event is a line\n" +
			"on standard output. The exit code is 0 if the job succeeded, 1 if not, and 130 if you interrupt the watching; the job goes on.\n" +
			"A token needs no credentials, an id does. " + credentialsHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.newClient(server)
			if err != nil {
				return err
			}
			stream, err := c.Events(args[0])
			if err != nil {
				return err
			}
			v.client, v.name = c, args[0]
			return v.follow(cmd.Context(), stream)
		},
	}
	p.addURLFlag(cmd.Flags(), &server)
	cmd.Flags().BoolVar(&v.json, "json", false, "print each event as a line of JSON")
	return cmd
}

// follow shows a job's events until it has ended.
func (v *view) follow(ctx context.Context, stream *watch.Stream) error {
	v.begin()
	defer v.clear()
	connected := false
	stream.Lost = func(err error, wait time.Duration) error {
		if !connected {
			return err // more likely it is the wrong server
		}
		v.say("The connection is lost (%s); trying again in %s.", client.Brief(err), wait.Round(100*time.Millisecond))
		return nil
	}
	for e, err := range stream.Events(ctx) {
		if err != nil {
			return v.broken(ctx, err)
		}
		connected = true
		if ended, err := v.show(e); ended || err != nil {
			return err
		}
	}
	return errors.New("the job has ended, but its end was not seen")
}

// broken returns the error for a stream that can't go on.
func (v *view) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return v.interrupted()
	}
	if e, ok := errors.AsType[*watch.StatusError](err); ok && e.StatusCode >= 400 {
		return client.NewProblemError(e.StatusCode, e.Body)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the URL may have a token
	}
	return fmt.Errorf("watch: %w", err)
}

// interrupted says how to go on watching.
func (v *view) interrupted() error {
	v.clear()
	again := "coatcheck watch "
	if v.client.URL != client.DefaultURL {
		again += "--url " + v.client.URL + " "
	}
	return &exitError{exitInterrupted, fmt.Errorf("interrupted; the job goes on. To watch it again: %s%s", again, v.name)}
}
