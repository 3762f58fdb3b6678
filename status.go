package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// jobHelp explains what the argument JOB may be.
const jobHelp = "A job is given by its id, its token or one of its URLs."

func (p *program) statusCommand() *cobra.Command {
	r := &remote{program: p}
	return r.command(&cobra.Command{
		Use: "status JOB", Short: "Show a job", Args: oneArgument("JOB"),
		Long: "Shows a job: its status, progress, times, error and output. " + jobHelp,
	}, func(ctx context.Context, args []string) error { return r.printJob(ctx, args[0]) })
}

// printJob prints the details of a job.
func (r *remote) printJob(ctx context.Context, ref string) error {
	named, err := r.job(ref)
	if err != nil {
		return err
	}
	var text json.RawMessage
	if err := named.Read(ctx, &text); err != nil {
		return r.explain(named, err)
	}
	if r.json {
		return printJSON(r.stdout, text)
	}
	var job jobs.Job
	if err := json.Unmarshal(text, &job); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	return details(r.stdout,
		[2]string{"Job", job.ID}, [2]string{"Service", job.Service}, [2]string{"Status", statusText(&job)},
		[2]string{"Progress", progressText(&job)},
		[2]string{"Created", r.moment(&job.CreatedAt)}, [2]string{"Runs at", r.moment(future(&job))},
		[2]string{"Started", r.moment(job.StartedAt)}, [2]string{"Finished", r.moment(job.FinishedAt)},
		[2]string{"Removed at", r.moment(job.RemovedAt)},
		[2]string{"Priority", strconv.Itoa(job.Priority)}, [2]string{"Tags", strings.Join(job.Tags, ", ")},
		[2]string{"Metadata", jsonText(job.Metadata)}, [2]string{"Retry of", string(job.RetryOf)},
		[2]string{"Callback", string(job.CallbackURL)}, [2]string{"Input", jsonText(job.Input)},
		[2]string{"Error", errorText(job.Error)}, [2]string{"Output", outputText(&job)},
		[2]string{"Page", job.WebURL},
	)
}

// statusText returns the status of a job with its step and attempt.
func statusText(job *jobs.Job) string {
	text := string(job.Status)
	if job.Steps > 1 {
		text += fmt.Sprintf(", step %d of %d", job.Step, job.Steps)
	}
	if job.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d of %d", job.Attempt, job.MaxAttempts)
	}
	if job.CancelRequested && !job.Done {
		text += ", cancel requested"
	}
	return text
}

// progressText returns the progress of a job; "" before there is any.
func progressText(job *jobs.Job) string {
	if job.Progress.UpdatedAt == nil && job.Progress.Percent == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%.0f%%  %s", job.Progress.Percent, job.Progress.Message))
}

// future returns when a job that waits for its time runs; nil for others.
func future(job *jobs.Job) *store.Time {
	if job.Status == jobs.Scheduled || job.Status == jobs.Retrying {
		return job.RunAt
	}
	return nil
}

// moment returns a time in full; on a terminal, as local time with how long ago that was.
func (r *remote) moment(t *store.Time) string {
	switch {
	case t == nil:
		return ""
	case !isTerminal(r.stdout):
		return t.UTC().Format(store.TimeLayout)
	default:
		text := t.Local().Format("2006-01-02 15:04:05 -07:00")
		if ago := age(t.Time); ago != "0s" {
			text += " (" + ago + " ago)"
		}
		return text
	}
}

// errorText returns an error with its code; "" for none.
func errorText(e *jobs.Error) string {
	if e == nil {
		return ""
	}
	return e.Code + ": " + e.Message
}

// outputText returns the output of a job, or where it is.
func outputText(job *jobs.Job) string {
	if job.OutputOmitted {
		return job.ResultURL
	}
	return jsonText(job.Output)
}

// jsonText returns JSON as text, and null as "".
func jsonText(text json.RawMessage) string {
	if s := string(text); s != "null" && s != "{}" {
		return s
	}
	return ""
}
