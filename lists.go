package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/jobs"
	"coatcheck/jobs/queue"
)

// A jobFilter is the flags of `coatcheck jobs`.
type jobFilter struct {
	remote
	statuses           []string
	service, tag, text string
	since              time.Duration
	limit              int
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
	cmd.Flags().StringVar(&f.text, "text", "", "only jobs with this text in the beginning of their input or in their error, among the newest 10,000")
	cmd.Flags().DurationVar(&f.since, "since", 0, "only jobs submitted in this time, such as 24h")
	addLimitFlag(cmd.Flags(), &f.limit)
	return cmd
}

// print prints the jobs that match.
func (f *jobFilter) print(ctx context.Context) error {
	if err := checkLimit(f.limit); err != nil {
		return err
	}
	for _, status := range f.statuses {
		if !slices.Contains(jobs.Statuses, jobs.Status(status)) {
			return &usageError{fmt.Errorf("--status: expected some of %s, got %q", joined(jobs.Statuses), status)}
		}
	}
	query, err := listQuery(f.since, map[string]string{
		"status": strings.Join(f.statuses, ","), "service": f.service, "tag": f.tag, "text": f.text,
	})
	if err != nil {
		return err
	}
	found, err := f.list(ctx, "/v1/jobs", query, f.limit)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	heading := []string{"ID", "SERVICE", "STATUS", "PROGRESS", "AGE", "ERROR", "TAGS"}
	return printList(&f.remote, found, "jobs", heading, func(job jobs.Job) []string {
		code := ""
		if job.Error != nil {
			code = job.Error.Code
		}
		return []string{
			job.ID, job.Service, string(job.Status), fmt.Sprintf("%.0f%%", job.Progress.Percent),
			f.when(job.CreatedAt.Time), orDash(code), orDash(strings.Join(job.Tags, ",")),
		}
	})
}

// joined returns texts separated by commas.
func joined[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, text := range all {
		texts[i] = string(text)
	}
	return strings.Join(texts, ", ")
}

// listQuery returns the query of a list: the parameters that have a value, and the time since when.
func listQuery(since time.Duration, parameters map[string]string) (url.Values, error) {
	query := make(url.Values)
	for name, value := range parameters {
		if value != "" {
			query.Set(name, value)
		}
	}
	switch {
	case since < 0:
		return nil, &usageError{errors.New("--since: expected a duration such as 24h")}
	case since > 0:
		query.Set("created_after", time.Now().Add(-since).UTC().Format(time.RFC3339Nano))
	}
	return query, nil
}

// printList prints a list: as JSON if that was requested, or else as a table with a row for each item.
func printList[T any](r *remote, found *page, what string, heading []string, row func(T) []string) error {
	if r.json {
		return printJSON(r.stdout, found)
	}
	t := table{heading: heading}
	for _, text := range found.Data {
		var item T
		if err := json.Unmarshal(text, &item); err != nil {
			return fmt.Errorf("list %s: %w", what, err)
		}
		t.add(row(item)...)
	}
	r.noteMore(found, what+" match")
	return t.print(r.stdout)
}

// when returns a time: its age on a terminal, or else the time itself.
func (r *remote) when(t time.Time) string {
	if isTerminal(r.stdout) {
		return age(t)
	}
	return t.UTC().Format(time.RFC3339)
}

// deliveryStatuses are the statuses of a delivery.
var deliveryStatuses = []string{"pending", "delivered", "failed"}

// A deliveryFilter is the flags of `coatcheck callbacks`.
type deliveryFilter struct {
	remote
	job, status, event, origin, text string
	since                            time.Duration
	limit                            int
}

func (p *program) callbacksCommand() *cobra.Command {
	f := &deliveryFilter{remote: remote{program: p}}
	cmd := f.command(&cobra.Command{
		Use: "callbacks", Short: "List callbacks, newest first", Args: noArguments,
		Long: "Lists deliveries of callbacks, newest first. On a terminal, the list is a table. Elsewhere, each delivery is a line with\n" +
			"tabs between its id, event, status, number of attempts, result of the latest attempt, time of creation, job and URL;\n" +
			"what is absent is a dash. With --json, each delivery has its attempts with their requests and responses.",
		Example: "  coatcheck callbacks --status failed\n  coatcheck callbacks --job job_06h21hft0dwc",
	}, func(ctx context.Context, _ []string) error { return f.print(ctx) })
	cmd.Flags().StringVar(&f.job, "job", "", "only callbacks of this job")
	cmd.Flags().StringVar(&f.status, "status", "", "only callbacks of this status: pending, delivered or failed")
	cmd.Flags().StringVar(&f.event, "event", "", "only callbacks of this event, such as job.failed, among the newest 10,000")
	cmd.Flags().StringVar(&f.origin, "origin", "", "only callbacks to this scheme, host and port, such as https://client.example, among the newest 10,000")
	cmd.Flags().StringVar(&f.text, "text", "", "only callbacks with this text in their URL, among the newest 10,000")
	cmd.Flags().DurationVar(&f.since, "since", 0, "only callbacks of events in this time, such as 24h")
	addLimitFlag(cmd.Flags(), &f.limit)
	return cmd
}

// print prints the deliveries that match.
func (f *deliveryFilter) print(ctx context.Context) error {
	if err := checkLimit(f.limit); err != nil {
		return err
	}
	if f.status != "" && !slices.Contains(deliveryStatuses, f.status) {
		return &usageError{fmt.Errorf("--status: expected pending, delivered or failed, got %q", f.status)}
	}
	found, err := f.find(ctx)
	if err != nil {
		return err
	}
	heading := []string{"ID", "EVENT", "STATUS", "ATTEMPTS", "LATEST", "AGE", "JOB", "URL"}
	return printList(&f.remote, found, "callbacks", heading, func(d queue.Delivery) []string {
		latest := ""
		if n := len(d.Attempts); n > 0 {
			latest = d.Attempts[n-1].Code
		}
		return []string{
			d.ID, d.Event, d.Status, strconv.Itoa(len(d.Attempts)), orDash(latest),
			f.when(d.CreatedAt.Time), orDash(string(d.JobID)), d.URL,
		}
	})
}

// find returns the deliveries that match. The server does not filter the deliveries of one job.
func (f *deliveryFilter) find(ctx context.Context) (*page, error) {
	query, err := listQuery(f.since, map[string]string{
		"status": f.status, "event": f.event, "origin": f.origin, "text": f.text,
	})
	if err != nil {
		return nil, err
	}
	if f.job == "" {
		return f.list(ctx, "/v1/deliveries", query, f.limit)
	}
	named, err := f.remote.job(f.job)
	if err != nil {
		return nil, err
	}
	var all page
	if err := named.Deliveries(ctx, &all); err != nil {
		return nil, f.explain(named, err)
	}
	found := &page{Data: []json.RawMessage{}}
	for _, item := range all.Data {
		var d queue.Delivery
		if err := json.Unmarshal(item, &d); err != nil {
			return nil, fmt.Errorf("list callbacks: %w", err)
		}
		if f.matches(&d) && len(found.Data) < f.limit {
			found.Data = append(found.Data, item)
		}
	}
	return found, nil
}

// matches reports whether a delivery of the job matches.
func (f *deliveryFilter) matches(d *queue.Delivery) bool {
	u, err := url.Parse(d.URL)
	return (f.status == "" || d.Status == f.status) && (f.event == "" || d.Event == f.event) &&
		(f.origin == "" || err == nil && u.Scheme+"://"+u.Host == f.origin) &&
		(f.text == "" || strings.Contains(strings.ToLower(d.URL), strings.ToLower(f.text))) &&
		(f.since == 0 || time.Since(d.CreatedAt.Time) < f.since)
}
