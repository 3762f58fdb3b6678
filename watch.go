package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"coatcheck/notify/watch"

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
			stream, err := c.events(args[0])
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

var (
	jobName = regexp.MustCompile(`^job_[a-z0-9]+(\.[A-Za-z0-9_-]+)?$`)
	jobPath = regexp.MustCompile(`^(.*?)(?:/v1)?/jobs/([^/]+)(?:/events|/result|/cancel)?/?$`)
)

// events returns the stream of a job that is named by its token, its id or one
// of its URLs. Credentials go to the client's own server only, and not with a
// token.
func (c *client) events(job string) (*watch.Stream, error) {
	base := c.url
	if strings.Contains(job, "://") {
		u, err := url.Parse(job)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &usageError{fmt.Errorf("%s is no URL of a job", job)}
		}
		m := jobPath.FindStringSubmatch(u.Path)
		if m == nil {
			return nil, &usageError{fmt.Errorf("%s is no URL of a job, such as %s/v1/jobs/job_…", job, c.url)}
		}
		base, job = u.Scheme+"://"+u.Host+m[1], m[2]
	}
	if !jobName.MatchString(job) {
		return nil, &usageError{fmt.Errorf("expected a job's token, its id or one of its URLs, got %q", job)}
	}
	s := &watch.Stream{URL: base + "/v1/jobs/" + job + "/events", Header: http.Header{"User-Agent": c.header["User-Agent"]}, Client: &http.Client{Transport: c.http.Transport}}
	isToken := strings.Contains(job, ".")
	if credentials := c.header.Get("Authorization"); credentials != "" && base == c.url && !isToken {
		s.Header.Set("Authorization", credentials)
	}
	return s, nil
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
		v.say("The connection is lost (%s); trying again in %s.", brief(err), wait.Round(100*time.Millisecond))
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
		return newRefusal(e.StatusCode, e.Body)
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
	if v.client.url != defaultURL {
		again += "--url " + v.client.url + " "
	}
	return &exitError{exitInterrupted, fmt.Errorf("interrupted; the job goes on. To watch it again: %s%s", again, v.name)}
}
