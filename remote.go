package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coatcheck/api/client"
)

// exitCodesHelp explains the exit codes of the commands that call a server.
const exitCodesHelp = "The exit code is 0 after a success, 1 after an error, 2 if the command was called wrongly, and 130 after Ctrl-C."

const (
	defaultLimit = 50
	maxLimit     = 10_000
	maxPage      = 200 // what the server gives in one response
)

// A remote is what the commands that call a server have in common.
type remote struct {
	*program
	server string
	json   bool
	client *client.Client
}

// command returns the command with --url and --json, which connects to the server before it calls do.
func (r *remote) command(cmd *cobra.Command, do func(ctx context.Context, args []string) error) *cobra.Command {
	r.addURLFlag(cmd.Flags(), &r.server)
	cmd.Flags().BoolVar(&r.json, "json", false, "print JSON, indented on a terminal")
	cmd.Long += "\n" + exitCodesHelp + "\n" + credentialsHelp
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if r.client, err = r.newClient(r.server); err != nil {
			return err
		}
		err = do(cmd.Context(), args)
		if err != nil && cmd.Context().Err() != nil {
			return &exitError{exitInterrupted, errors.New("interrupted")}
		}
		return err
	}
	return cmd
}

// job returns the job that an argument names.
func (r *remote) job(ref string) (*client.Job, error) { return r.client.Job(ref) }

// explain adds to an error of a job why credentials were not sent.
func (r *remote) explain(job *client.Job, err error) error {
	p, ok := errors.AsType[*client.ProblemError](err)
	if ok && p.Status == http.StatusUnauthorized && !job.Own && r.client.Authorization() != "" {
		return fmt.Errorf("%w\ncredentials are sent only to %s; for this job, set --url to %s", err, r.client.URL, job.Server.URL)
	}
	return err
}

// A page is a list as the server sends it.
type page struct {
	Data       []json.RawMessage `json:"data"`
	NextCursor *string           `json:"next_cursor"`
}

// list returns up to limit items of a list, page by page.
func (r *remote) list(ctx context.Context, path string, query url.Values, limit int) (*page, error) {
	all := &page{Data: []json.RawMessage{}}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(all.Data), maxPage)))
		var next page
		if _, err := r.client.Call(ctx, http.MethodGet, r.client.URL+path+"?"+query.Encode(), nil, nil, &next); err != nil {
			return nil, err
		}
		all.Data, all.NextCursor = append(all.Data, next.Data...), next.NextCursor
		if next.NextCursor == nil || len(next.Data) == 0 || len(all.Data) >= limit {
			return all, nil
		}
		query.Set("cursor", *next.NextCursor)
	}
}

// noteMore tells a person that a list is not complete, or that it is empty.
func (r *remote) noteMore(p *page, what string) {
	switch {
	case len(p.Data) == 0:
		fmt.Fprintf(r.stderr, "No %s.\n", what)
	case p.NextCursor != nil && isTerminal(r.stdout):
		fmt.Fprintf(r.stderr, "These are the newest %d; see more with --limit.\n", len(p.Data))
	}
}

// addLimitFlag adds the flag --limit.
func addLimitFlag(f *pflag.FlagSet, to *int) {
	f.IntVar(to, "limit", defaultLimit, fmt.Sprintf("how many to list, at most %d", maxLimit))
}

// checkLimit returns an error for a --limit out of range.
func checkLimit(limit int) error {
	if limit < 1 || limit > maxLimit {
		return &usageError{fmt.Errorf("--limit: expected a number from 1 to %d, got %d", maxLimit, limit)}
	}
	return nil
}

// printJSON prints JSON: indented on a terminal, or else on one line.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if isTerminal(w) {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}

// age returns how long ago t was, in one unit, such as "5m".
func age(t time.Time) string {
	d := max(0, time.Since(t))
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// someArguments requires at least one argument with the given name.
func someArguments(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &usageError{fmt.Errorf("%s takes one or more arguments, %s", cmd.CommandPath(), name)}
		}
		return nil
	}
}

// orDash returns the text, or a dash for none.
func orDash(text string) string { return cmp.Or(text, "-") }
