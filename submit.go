package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/jobs"
)

func (p *program) runCommand() *cobra.Command {
	s := &submission{view: view{program: p}}
	server := ""
	cmd := &cobra.Command{
		Use: "run SERVICE [NAME=VALUE]…", Short: "Submit a job and watch it until it ends",
		Long: "Submits a job to a service, watches it like `coatcheck watch`, and prints its output. Set input properties with NAME=VALUE,\n" +
			"where the service's schema decides whether VALUE is text or JSON, or with NAME:=JSON. NAME=@PATH sends a file. --input sets the whole input; NAME=VALUE then adds to it.\n" +
			"Ctrl-C only stops watching: the job continues, and the command prints how to watch it again.\n" + credentialsHelp,
		Example: "  coatcheck run sleep seconds=10 name=Ada\n  coatcheck run maths.add --input '{\"a\": 3, \"b\": 4}'",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Errorf("%s takes a service and its input, as in `%s sleep seconds=10`", cmd.CommandPath(), cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if s.client, err = p.newClient(server); err != nil {
				return err
			}
			return s.run(cmd.Context(), args[0], args[1:])
		},
		ValidArgsFunction: p.completeService(&server),
	}
	p.addURLFlag(cmd.Flags(), &server)
	cmd.Flags().StringVar(&s.input, "input", "", "input as JSON, @FILE to read it from a file, or - for standard input")
	cmd.Flags().BoolVar(&s.json, "json", false, "print each event as a line of JSON")
	cmd.Flags().BoolVar(&s.detach, "detach", false, "print the id of the job and do not watch it")
	cmd.Flags().StringVar(&s.callbackURL, "callback-url", "", "URL that the server calls when the job ends")
	cmd.Flags().StringVar(&s.delay, "delay", "", "start the job this much later, such as 10m")
	cmd.Flags().StringVar(&s.timeout, "timeout", "", "limit of each attempt, such as 1h")
	cmd.Flags().IntVar(&s.priority, "priority", 0, "1 (first) to 4; the default is 2")
	cmd.Flags().StringArrayVar(&s.tags, "tag", nil, "tag of the job; can be repeated")
	cmd.Flags().StringVar(&s.key, "idempotency-key", "", "if a job was submitted with this key before, watch that one")
	cmd.Flags().BoolVar(&s.cancel, "cancel-on-interrupt", false, "on Ctrl-C, also cancel the job")
	cmd.MarkFlagsMutuallyExclusive("detach", "cancel-on-interrupt")
	return cmd
}

// A submission submits a job and then watches it.
type submission struct {
	view
	input          string
	cancel, detach bool

	callbackURL, delay, timeout string
	priority                    int
	tags                        []string
	key                         string
}

// request returns the members of the submission.
func (s *submission) request(input map[string]json.RawMessage) map[string]any {
	body := map[string]any{"input": input}
	for name, value := range map[string]string{"callback_url": s.callbackURL, "delay": s.delay, "timeout": s.timeout} {
		if value != "" {
			body[name] = value
		}
	}
	if s.priority != 0 {
		body["priority"] = s.priority
	}
	if len(s.tags) > 0 {
		body["tags"] = s.tags
	}
	return body
}

// run submits a job and watches it.
func (s *submission) run(ctx context.Context, service string, args []string) error {
	input, err := s.readInput()
	if err != nil {
		return err
	}
	files, err := s.client.Assign(ctx, service, input, args)
	if err != nil {
		return serviceError(err)
	}
	job, err := s.submit(ctx, service, input, files)
	if err != nil {
		if ctx.Err() != nil {
			return &exitError{exitInterrupted, errors.New("interrupted before the server responded")}
		}
		return fmt.Errorf("submit: %w", serviceError(err))
	}
	if s.detach {
		return s.printDetached(job)
	}
	if !s.json {
		s.announce(job)
	}
	s.name, s.server, s.connected = string(job.Token), s.client, true
	s.printStatus(job.Status, job.Attempt) // the stream may start when the job already runs
	stream, err := s.client.Events(job.EventsURL)
	if err != nil {
		return err
	}
	err = s.follow(ctx, stream)
	if e, ok := errors.AsType[*exitError](err); ok && e.code == exitInterrupted && s.cancel {
		return s.cancelJob(ctx, job.ID)
	}
	return err
}

// submit submits a job.
func (s *submission) submit(
	ctx context.Context, service string, input map[string]json.RawMessage, files map[string][]string,
) (*jobs.Job, error) {
	job, body, url := new(jobs.Job), s.request(input), s.client.ServiceURL(service)+"/jobs"
	// The key prevents a second job if a proxy repeats the request.
	key := http.Header{"Idempotency-Key": {`"` + cmp.Or(s.key, rand.Text()) + `"`}}
	if len(files) > 0 {
		return job, s.client.Upload(ctx, url, key, body, files, job)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	_, err = s.client.Call(ctx, http.MethodPost, url, key, text, job)
	return job, err
}

// printDetached prints a job that is not watched: its id on standard output, for scripts.
func (s *submission) printDetached(job *jobs.Job) error {
	if s.json {
		return printJSON(s.stdout, job)
	}
	s.announce(job)
	_, err := fmt.Fprintln(s.stdout, job.ID)
	return err
}

// cancelJob cancels the job after the command was interrupted.
func (s *submission) cancelJob(ctx context.Context, id string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	_, err := s.client.Call(ctx, http.MethodPost, s.client.URL+"/v1/jobs/"+id+"/cancel", nil, []byte(`{"reason": "interrupted"}`), nil)
	if err != nil {
		return &exitError{exitInterrupted, fmt.Errorf("interrupted, but the job could not be canceled: %w", err)}
	}
	return &exitError{exitInterrupted, errors.New("interrupted; the job is canceled")}
}

// readInput returns the input from --input.
func (s *submission) readInput() (map[string]json.RawMessage, error) {
	text, input := []byte(cmp.Or(s.input, "{}")), make(map[string]json.RawMessage)
	var err error
	name, isFile := strings.CutPrefix(s.input, "@")
	switch {
	case isFile:
		text, err = os.ReadFile(name) //nolint:gosec // the user chooses the file
	case s.input == "-":
		text, err = io.ReadAll(s.stdin)
	}
	if err != nil {
		return nil, fmt.Errorf("--input: %w", err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		return nil, &usageError{errors.New("--input: expected UTF-8, got UTF-16, which PowerShell writes by default; use `Out-File -Encoding utf8`")}
	}
	if err := json.Unmarshal(text, &input); err != nil || input == nil {
		return nil, &usageError{errors.New(`--input: expected a JSON object such as {"seconds": 10}, @FILE or -`)}
	}
	return input, nil
}

// announce prints the id and the page of a new job on standard error. The URL contains the id in place of the token,
// which must not end up in the logs of scripts.
func (p *program) announce(job *jobs.Job) {
	page := job.WebURL
	if job.Token != "" {
		page = strings.Replace(page, string(job.Token), job.ID, 1)
	}
	fmt.Fprintf(p.stderr, "Submitted %s: %s\n", job.ID, page)
}
