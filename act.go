package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coatcheck/api/client"
	"coatcheck/jobs"
)

func (p *program) cancelCommand() *cobra.Command {
	r, reason := &remote{program: p}, ""
	cmd := r.command(&cobra.Command{
		Use: "cancel JOB…", Short: "Cancel jobs", Args: someArguments("JOB"),
		Long: "Cancels jobs. A waiting job is canceled at once; a running one is asked to stop. Prints the id and the status of each,\n" +
			"with a tab between them. " + jobHelp,
		Example: "  coatcheck cancel --reason \"wrong input\" job_06h21hft0dwc",
	}, func(ctx context.Context, args []string) error {
		body, err := json.Marshal(map[string]string{"reason": reason})
		if err != nil {
			return err
		}
		return r.act(ctx, "cancel", args, body, func(job *jobs.Job) error {
			state := string(job.Status)
			if !job.Done {
				state = "asked to stop"
			}
			_, err := fmt.Fprintf(r.stdout, "%s\t%s\n", job.ID, state)
			return err
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why; becomes the message of the job's error")
	return cmd
}

func (p *program) retryCommand() *cobra.Command {
	r := &remote{program: p}
	return r.command(&cobra.Command{
		Use: "retry JOB…", Short: "Run finished jobs again", Args: someArguments("JOB"),
		Long: "Submits the input of finished jobs again and prints the ids of the new jobs, one a line; the old jobs do not change.\n" + jobHelp,
	}, func(ctx context.Context, args []string) error {
		return r.act(ctx, "retry", args, nil, func(job *jobs.Job) error {
			r.announce(job)
			_, err := fmt.Fprintln(r.stdout, job.ID)
			return err
		})
	})
}

// act calls an action of several jobs and prints each response. An error with one job does not keep the others from
// their turn.
func (r *remote) act(
	ctx context.Context, action string, refs []string, body []byte, show func(*jobs.Job) error,
) error {
	named := make([]*client.Job, len(refs))
	for i, ref := range refs { // nothing happens if one of them is wrong
		var err error
		if named[i], err = r.job(ref); err != nil {
			return err
		}
	}
	var failed []error
	for _, n := range named {
		if err := r.actOn(ctx, action, n, body, show); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", action, n.ID, r.explain(n, err)))
			if _, away := errors.AsType[*client.ConnectionError](err); away || ctx.Err() != nil {
				break // the same would happen to the others
			}
		}
	}
	return errors.Join(failed...)
}

// actOn calls an action of one job and prints the response.
func (r *remote) actOn(
	ctx context.Context, action string, named *client.Job, body []byte, show func(*jobs.Job) error,
) error {
	var text json.RawMessage
	if err := named.Act(ctx, action, body, &text); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.stdout, text)
	}
	var job jobs.Job
	if err := json.Unmarshal(text, &job); err != nil {
		return err
	}
	return show(&job)
}
