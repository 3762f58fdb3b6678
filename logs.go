package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api/client"
	"coatcheck/api/client/watch"
	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// A logReader prints the log of a job.
type logReader struct {
	remote
	follow bool
	stored string // the stored log, if the job is followed
	lost   bool   // the connection is lost
}

func (p *program) logsCommand() *cobra.Command {
	l := &logReader{remote: remote{program: p}}
	cmd := l.command(&cobra.Command{
		Use: "logs JOB", Short: "Print the log of a job", Args: oneArgument("JOB"),
		Long: "Prints the stored log of a job, its newest 256 KiB: a line each with its time and level. With -f, it then prints new\n" +
			"lines as they come, until the job ends. " + jobHelp,
		Example: "  coatcheck logs -f job_06h21hft0dwc",
	}, func(ctx context.Context, args []string) error { return l.print(ctx, args[0]) })
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "also print new lines, until the job ends")
	cmd.Flags().Lookup("json").Usage = "print each line as a JSON object with at, level and message"
	return cmd
}

// print prints the stored log and then, with --follow, what is logged until the job ends.
func (l *logReader) print(ctx context.Context, ref string) error {
	named, err := l.job(ref)
	if err != nil {
		return err
	}
	// Events after this state are not in the stored log, or are in both.
	var job jobs.Job
	if l.follow {
		if err := named.Read(ctx, &job); err != nil {
			return l.explain(named, err)
		}
	}
	text, truncated, err := named.Log(ctx)
	if err != nil {
		return l.explain(named, err)
	}
	if truncated {
		fmt.Fprintln(l.stderr, "Older lines are no longer stored.")
	}
	if err := l.printStored(text); err != nil || !l.follow || job.Done {
		return err
	}
	l.stored = "\n" + text
	return l.printLive(ctx, named, job.LastEventID)
}

// printLive prints the lines that are logged after an event, until the job ends.
func (l *logReader) printLive(ctx context.Context, named *client.Job, after string) error {
	stream := named.Events()
	stream.After = after
	stream.Lost = func(err error, _ time.Duration) error {
		if !l.lost {
			fmt.Fprintf(l.stderr, "Connection lost (%s); reconnecting.\n", client.Brief(err))
		}
		l.lost = true
		return nil
	}
	for e, err := range stream.Events(ctx) {
		if err != nil {
			return named.Server.ExplainStream(err)
		}
		l.lost = false
		if ended, err := l.printEvent(e); ended || err != nil {
			return err
		}
	}
	return nil // 204: the job ended before
}

// printEvent prints the line of an event, and reports whether it is the last one.
func (l *logReader) printEvent(e watch.Event) (ended bool, err error) {
	var d struct {
		logLine
		Truncated bool
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return false, fmt.Errorf("event %s: %w", e.ID, err)
	}
	switch e.Name {
	case "snapshot":
		if d.Truncated {
			fmt.Fprintln(l.stderr, "Lines may be missing here; the stored log has them.")
		}
	case "log":
		text := d.At.UTC().Format(store.TimeLayout) + " " + d.Level + " " + strings.ReplaceAll(d.Message, "\n", "\n\t") + "\n"
		if !strings.Contains(l.stored, "\n"+text) {
			return false, l.printStored(text)
		}
	case "end":
		return true, nil
	}
	return false, nil
}

// A logLine is a line of a log. Its message may have several lines of text.
type logLine struct {
	At      store.Time `json:"at"`
	Level   string     `json:"level"`
	Message string     `json:"message"`
}

// printStored prints lines in the format of the stored log, where a tab continues a line.
func (l *logReader) printStored(text string) error {
	if !l.json {
		_, err := fmt.Fprint(l.stdout, client.Printable(text))
		return err
	}
	text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n\t", "\x00")
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			continue
		}
		fields := strings.SplitN(strings.ReplaceAll(line, "\x00", "\n"), " ", 3)
		at, err := time.Parse(store.TimeLayout, fields[0])
		if err != nil || len(fields) < 3 {
			return errors.New("the server's log has a line without a time and a level")
		}
		out, err := json.Marshal(logLine{store.At(at), fields[1], fields[2]})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(l.stdout, "%s\n", out); err != nil {
			return err
		}
	}
	return nil
}
