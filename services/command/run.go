package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// run runs the program for the current job and returns what it prints.
func (c *Command) run(ctx context.Context, input json.RawMessage) (output json.RawMessage, err error) {
	err = c.execute(ctx, input, func(_ string, printed []byte) (err error) {
		output, err = c.encode(printed)
		return err
	})
	return output, err
}

// runForFile runs the program for the current job and returns the file that it writes.
func (c *Command) runForFile(ctx context.Context, input json.RawMessage) (f jobs.File, err error) {
	err = c.execute(ctx, input, func(dir string, _ []byte) (err error) {
		f, err = c.saveFile(ctx, dir)
		return err
	})
	return f, err
}

// execute runs the program for the current job and calls done with its working directory
// and what it printed. When ctx ends, the program and all that it started are ended.
func (c *Command) execute(
	ctx context.Context, input json.RawMessage, done func(dir string, printed []byte) error,
) error {
	values, err := c.Schema.Values(input)
	if err != nil {
		return errors.Join(err, jobs.ErrPermanent)
	}
	total, err := c.total(values)
	if err != nil {
		return errors.Join(err, jobs.ErrPermanent)
	}
	work, err := newWorkDir()
	if err != nil {
		return fmt.Errorf("make a working directory: %w", err)
	}
	defer work.remove()
	dir := work.path
	arguments, err := c.prepare(ctx, values, dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	limit := jobs.MaxOutput(ctx)
	tooMuch := &jobs.OutputLimitError{What: "the program was stopped: its standard output", Limit: limit}
	out := &outputBuffer{limit: limit, full: func() { stop(tooMuch) }}
	var last tail
	stderr := &lineWriter{limit: maxLogLine, line: func(line string) {
		if c.report(ctx, line, total) {
			last.add(line)
		}
	}}
	stdout := io.Writer(out)
	stdoutLines := &lineWriter{limit: maxLogLine, line: func(line string) { c.report(ctx, line, total) }}
	if c.output == spec.OutputFile {
		stdout = stdoutLines
	}
	messages := &lineWriter{limit: maxMessage, line: func(line string) { takeMessage(ctx, line) }}
	p := &process{
		arguments: arguments, dir: dir, grace: c.grace, limits: c.limits, stdout: stdout, stderr: stderr, messages: messages,
		environment: append(slices.Clone(c.environment),
			"COATCHECK_JOB_ID="+jobs.JobID(ctx), "COATCHECK_ATTEMPT="+strconv.Itoa(jobs.AttemptOf(ctx)), "COATCHECK_SERVICE="+c.Name),
	}
	if !c.hasPlaceholder() {
		if p.stdin, err = json.Marshal(values); err != nil {
			return fmt.Errorf("write the input: %w", err)
		}
	}
	end, err := p.run(ctx)
	stdoutLines.flush()
	stderr.flush()
	messages.flush()
	switch {
	case errors.Is(context.Cause(ctx), tooMuch):
		return tooMuch
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	}
	if failed := c.failure(end, &last); failed != nil {
		return failed
	}
	return done(dir, out.printed.Bytes())
}

// report reports the progress that a line shows, or logs the line. logged reports which.
func (c *Command) report(ctx context.Context, line string, total float64) (logged bool) {
	if percent, ok := c.percent(line, total); ok {
		jobs.Progress(ctx, percent, "")
		return false
	}
	jobs.Log(ctx, "%s", line)
	return true
}

// failure returns the error of a program that ended with another status than 0.
func (c *Command) failure(end ending, last *tail) error {
	if end.Signal == "" && end.Status == 0 {
		return nil
	}
	text := fmt.Sprintf("exit status %d", end.Status)
	if end.Signal != "" {
		text = "ended by signal: " + end.Signal
	}
	if lines := last.String(); lines != "" {
		text += ": " + lines
	}
	if end.Signal == "" && slices.Contains(c.permanentExit, end.Status) {
		return fmt.Errorf("%s: %w", text, jobs.ErrPermanent)
	}
	return errors.New(text)
}

// encode returns what the program printed as the output of the job.
func (c *Command) encode(printed []byte) (json.RawMessage, error) {
	switch c.output {
	case outputText:
		return json.Marshal(strings.TrimSuffix(strings.TrimSuffix(valid(printed), "\n"), "\r"))
	case outputLines:
		lines := []string{}
		if text := strings.TrimSuffix(valid(printed), "\n"); text != "" {
			lines = strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
		}
		return json.Marshal(lines)
	}
	printed = bytes.TrimSpace(bytes.TrimPrefix(printed, []byte("\ufeff")))
	if len(printed) == 0 {
		return json.RawMessage("null"), nil
	}
	var value json.RawMessage
	if err := json.Unmarshal(printed, &value); err != nil {
		return nil, fmt.Errorf("standard output is not JSON: %w; it begins with %.200q; print logs to standard error, or set `output: text`: %w", err, printed, jobs.ErrPermanent)
	}
	return value, nil
}

// valid returns a text without bytes that are no UTF-8.
func valid(b []byte) string { return strings.ToValidUTF8(string(b), string(utf8.RuneError)) }

// total returns what the progress counts up to.
func (c *Command) total(values spec.Values) (float64, error) {
	if c.progressOf == nil {
		return 100, nil
	}
	text, err := c.progressOf.Fill(values, nil)
	if err != nil {
		return 0, err
	}
	total, err := strconv.ParseFloat(text, 64)
	if err != nil || total <= 0 {
		return 0, fmt.Errorf("progress.of: expected a number above 0, got %q", text)
	}
	return total, nil
}

// percent returns the progress that a line of standard error shows.
func (c *Command) percent(line string, total float64) (percent float64, ok bool) {
	if c.progress == nil {
		return 0, false
	}
	m := c.progress.FindStringSubmatch(line)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	return min(max(100*n/total, 0), 100), err == nil
}

// An outputBuffer holds what a program prints to standard output, up to a limit.
type outputBuffer struct {
	printed bytes.Buffer // not embedded: its ReadFrom has no limit
	limit   int
	full    func()
}

// Write implements [io.Writer].
func (b *outputBuffer) Write(p []byte) (int, error) {
	room := b.limit - b.printed.Len()
	if len(p) > room {
		b.full() // stops the program, which may write until then
	}
	b.printed.Write(p[:min(len(p), room)])
	return len(p), nil
}

// removeAll removes a directory in which the program may have made others that can't be
// written.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a directory of ours, to be removed
		}
		return nil
	})
	_ = os.RemoveAll(dir) // what is left can't be removed by this user
}
