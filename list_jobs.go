package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/jobs"
)

// A jobFilter is the flags of `coatcheck jobs`.
type jobFilter struct {
	remote
	statuses     []string
	service, tag string
	limit        int
}

func (p *program) jobsCommand() *cobra.Command {
	f := &jobFilter{remote: remote{program: p}}
	cmd := f.command(&cobra.Command{
		Use: "jobs", Short: "List jobs, newest first", Args: noArguments,
		Long: "Lists jobs, newest first. On a terminal, the list is a table. Elsewhere, each job is a line with tabs between its id,\n" +
			"service, status, progress, time of creation, error code and tags; what is absent is a dash.",
		Example: "  coatcheck jobs --status running,queued\n  coatcheck jobs --service sleep --tag nightly --limit 10",
	}, func(ctx context.Context, _ []string) error { return f.print(ctx) })
	cmd.Flags().StringSliceVar(&f.statuses, "status", nil, "only jobs of these statuses, such as running,failed")
	cmd.Flags().StringVar(&f.service, "service", "", "only jobs of this service")
	cmd.Flags().StringVar(&f.tag, "tag", "", "only jobs with this tag")
	addLimitFlag(cmd.Flags(), &f.limit)
	return cmd
}

// print prints the jobs that match.
func (f *jobFilter) print(ctx context.Context) error {
	if err := checkLimit(f.limit); err != nil {
		return err
	}
	query := make(url.Values)
	for name, value := range map[string]string{
		"status": strings.Join(f.statuses, ","), "service": f.service, "tag": f.tag,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	found, err := f.list(ctx, "/v1/jobs", query, f.limit)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	if f.json {
		return printJSON(f.stdout, found)
	}
	t := table{heading: []string{"ID", "SERVICE", "STATUS", "PROGRESS", "AGE", "ERROR", "TAGS"}}
	for _, item := range found.Data {
		var job jobs.Job
		if err := json.Unmarshal(item, &job); err != nil {
			return fmt.Errorf("list jobs: %w", err)
		}
		code := ""
		if job.Error != nil {
			code = job.Error.Code
		}
		t.add(job.ID, job.Service, string(job.Status), fmt.Sprintf("%.0f%%", job.Progress.Percent),
			f.when(job.CreatedAt.Time), orDash(code), orDash(strings.Join(job.Tags, ",")))
	}
	f.noteMore(found, "jobs match")
	return t.print(f.stdout)
}

// when returns a time: its age on a terminal, or else the time itself.
func (r *remote) when(t time.Time) string {
	if isTerminal(r.stdout) {
		return age(t)
	}
	return t.UTC().Format(time.RFC3339)
}
