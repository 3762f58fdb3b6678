package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"coatcheck/api/client"
	"coatcheck/api/client/watch"
	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// lineInterval is the minimum time between progress lines, which are printed if
// standard error is not a terminal.
const lineInterval = time.Second

// A view prints the events of a job: its output on standard output and everything else
// on standard error. With json, it prints everything on standard output.
type view struct {
	*program
	client *client.Client
	server *client.Client // of the job's server
	name   string         // token or id, to watch the job again
	json   bool

	// connected reports whether the server has responded, so that its URL is right.
	connected bool
	lost      bool // the connection is lost, and that is printed

	terminal bool
	mu       sync.Mutex // guards bar, for the goroutine that redraws it
	bar      progressBar
	started  time.Time // when the job, or its current attempt, began to run; zero if it does not
	status   string    // the last one printed
	printed  time.Time // when progress was last printed
}

// begin prepares the view. The caller must call end.
func (v *view) begin() (end func()) {
	if v.terminal = isTerminal(v.stderr) && !v.json; !v.terminal {
		return func() {}
	}
	return v.keepDrawing()
}

// keepDrawing draws the bar again each second until stop is called, which removes it: the bar shows
// how long the job has been running.
func (v *view) keepDrawing() (stop func()) {
	ended := make(chan struct{})
	var redrawing sync.WaitGroup
	redrawing.Go(func() {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				v.mu.Lock()
				v.draw(v.bar)
				v.mu.Unlock()
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		redrawing.Wait()
		v.clear()
	}
}

// show prints an event, and reports whether it is the last one.
func (v *view) show(e watch.Event) (ended bool, err error) {
	if v.json && e.Name != "ping" {
		line, err := store.Marshal(struct {
			ID    string          `json:"id,omitempty"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}{e.ID, e.Name, e.Data})
		if err != nil {
			return false, fmt.Errorf("event %s: %w", e.ID, err)
		}
		if _, err := fmt.Fprintf(v.stdout, "%s\n", line); err != nil {
			return false, err
		}
	}
	var d struct {
		jobs.Report
		Job          jobs.Job
		Status       jobs.Status
		Attempt      int
		Level, Chunk string
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return false, fmt.Errorf("event %s: %w", e.ID, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Name {
	case "snapshot":
		v.name = cmp.Or(string(d.Job.Token), d.Job.ID)
		if at := d.Job.StartedAt; at != nil && d.Job.Status == jobs.Running && at.Before(time.Now()) {
			v.started = at.Time
		}
		v.printStatus(d.Job.Status, d.Job.Attempt)
		v.progress(d.Job.Progress)
	case "status":
		v.printStatus(d.Status, d.Attempt)
	case "progress":
		v.progress(d.Report)
	case "log":
		v.println("%s: %s", cmp.Or(d.Level, "info"), strings.TrimRight(d.Message, "\n"))
	case "output":
		v.println("%s", strings.TrimSuffix(d.Chunk, "\n"))
	case "end":
		return true, v.end(&d.Job)
	}
	return false, nil
}

// printStatus prints a status if it is new.
func (v *view) printStatus(status jobs.Status, attempt int) {
	switch {
	case status != jobs.Running:
		v.started = time.Time{}
	case v.started.IsZero():
		v.started = time.Now()
	}
	if v.bar.timed {
		v.bar.since = v.started
	}
	text := string(status)
	if attempt > 1 {
		text += fmt.Sprintf(", attempt %d", attempt)
	}
	if text != v.status && !status.Done() {
		v.status = text
		v.println("%s", text)
	}
}

// println prints a line on standard error, above the bar if there is one.
func (v *view) println(format string, args ...any) {
	if v.json {
		return
	}
	bar := v.bar
	v.clear()
	fmt.Fprintln(v.stderr, client.Printable(fmt.Sprintf(format, args...)))
	v.draw(bar)
}

// progress draws the progress bar or, without a terminal, prints a line at most every
// lineInterval.
func (v *view) progress(r jobs.Report) {
	message := strings.ReplaceAll(client.Printable(r.Message), "\n", " ")
	if v.terminal {
		const width = 24
		done := min(max(int(r.Percent*width/100), 0), width)
		text := fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", done), strings.Repeat("-", width-done), r.Percent)
		v.draw(progressBar{text, message, v.started, true})
		return
	}
	if r.UpdatedAt == nil && r.Percent == 0 && r.Message == "" || time.Since(v.printed) < lineInterval && r.Percent < 100 {
		return
	}
	v.printed = time.Now()
	v.println("%3.0f%%  %s", r.Percent, message)
}

// A progressBar is the last line of a terminal.
type progressBar struct {
	text, message string
	since         time.Time // how long ago that was is shown between the two; zero for nothing
	timed         bool      // whether since is when the job began to run
}

func (b *progressBar) String() string {
	if b.since.IsZero() {
		return b.text + "  " + b.message
	}
	seconds := int(time.Since(b.since).Seconds())
	return fmt.Sprintf("%s  %d:%02d  %s", b.text, seconds/60, seconds%60, b.message)
}

// draw draws the progress bar, cut to the width of the terminal.
func (v *view) draw(bar progressBar) {
	if !v.terminal || bar.text == "" {
		return
	}
	width := 80
	if f, ok := v.stderr.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			width = columns
		}
	}
	v.bar = bar
	line := []rune(bar.String())
	if len(line) >= width {
		line = line[:max(0, width-1)]
	}
	fmt.Fprintf(v.stderr, "\r%s\x1b[K", string(line))
}

// clear removes the progress bar.
func (v *view) clear() {
	if v.bar.text != "" {
		fmt.Fprint(v.stderr, "\r\x1b[K")
		v.bar = progressBar{}
	}
}

// end prints the output of a job, or returns an error if it did not succeed.
func (v *view) end(job *jobs.Job) error {
	v.clear()
	if job.Status != jobs.Succeeded {
		message := ""
		if job.Error != nil {
			message = ": " + job.Error.Message
		}
		return &exitError{1, fmt.Errorf("job %s %s%s", job.ID, job.Status, client.Printable(message))}
	}
	if v.json {
		return nil
	}
	if job.FinishedAt != nil {
		v.println("succeeded after %s", job.FinishedAt.Sub(job.CreatedAt.Time).Round(time.Millisecond))
	}
	return printJSON(v.stdout, job.Output)
}
