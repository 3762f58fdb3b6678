package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"coatcheck/jobs/queue"
)

// deliveryStatuses are the statuses of a delivery.
var deliveryStatuses = []string{"pending", "delivered", "failed"}

// A deliveryFilter is the flags of `coatcheck callbacks`.
type deliveryFilter struct {
	remote
	job, status string
	limit       int
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
	if f.json {
		return printJSON(f.stdout, found)
	}
	t := table{heading: []string{"ID", "EVENT", "STATUS", "ATTEMPTS", "LATEST", "AGE", "JOB", "URL"}}
	for _, item := range found.Data {
		var d queue.Delivery
		if err := json.Unmarshal(item, &d); err != nil {
			return fmt.Errorf("list callbacks: %w", err)
		}
		latest := ""
		if n := len(d.Attempts); n > 0 {
			latest = d.Attempts[n-1].Code
		}
		t.add(d.ID, d.Event, d.Status, strconv.Itoa(len(d.Attempts)), orDash(latest),
			f.when(d.CreatedAt.Time), orDash(string(d.JobID)), d.URL)
	}
	f.noteMore(found, "callbacks match")
	return t.print(f.stdout)
}

// find returns the deliveries that match. The server filters those of one job not by their status.
func (f *deliveryFilter) find(ctx context.Context) (*page, error) {
	if f.job == "" {
		query := make(url.Values)
		if f.status != "" {
			query.Set("status", f.status)
		}
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
		var d struct{ Status string }
		if err := json.Unmarshal(item, &d); err != nil {
			return nil, fmt.Errorf("list callbacks: %w", err)
		}
		if (f.status == "" || d.Status == f.status) && len(found.Data) < f.limit {
			found.Data = append(found.Data, item)
		}
	}
	return found, nil
}
