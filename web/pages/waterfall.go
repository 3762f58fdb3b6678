package pages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/web"
)

// waterfall returns the attempts of a job with how long each waited and ran.
func waterfall(j *jobs.Job, now time.Time) web.Waterfall {
	rows := make([]web.WaterfallRow, 0, len(j.History)+1)
	since, kind := j.CreatedAt.Time, "wait"
	for i := range j.History {
		a := &j.History[i]
		row := web.WaterfallRow{Name: attemptName(j, a.Step, a.Number), Status: string(a.Status), Worker: a.WorkerID}
		if a.Status == jobs.Retrying {
			row.Status = string(jobs.Failed) // the attempt, not the job
		}
		if i > 0 || a.Number == 1 && a.Step == 1 { // else the history before was truncated
			addWait(&row, j, kind, since, a.StartedAt.Time)
		}
		end := now
		if a.FinishedAt != nil {
			end = a.FinishedAt.Time
			row.Ran = web.Took(end.Sub(a.StartedAt.Time))
		} else {
			row.Since = &a.StartedAt.Time
		}
		row.Spans = append(row.Spans, web.Span{Kind: "run", From: a.StartedAt.Time, To: end})
		rows = append(rows, row)
		since, kind = end, "wait"
		if a.Status == jobs.Retrying {
			kind = "later"
		}
	}
	if row, ok := waitingRow(j, kind, since, now); ok {
		rows = append(rows, row)
	}
	return web.NewWaterfall(rows)
}

// waitingRow returns a row for the attempt that a job waits for, or waited for when it ended.
func waitingRow(j *jobs.Job, kind string, since, now time.Time) (row web.WaterfallRow, ok bool) {
	row.Name, row.Status = attemptName(j, j.Step, j.Attempt+1), string(j.Status)
	n := len(j.History)
	switch {
	case j.Status == jobs.Queued:
		addWait(&row, j, kind, since, now)
		return row, true
	case j.Status == jobs.Retrying, j.Status == jobs.Scheduled:
		if row.Until = moment(j.RunAt); row.Until != nil {
			row.Spans = []web.Span{{Kind: "later", From: since, To: *row.Until}}
		}
		return row, true
	case j.FinishedAt == nil,
		n > 0 && j.History[n-1].FinishedAt != nil && j.History[n-1].FinishedAt.Equal(j.FinishedAt.Time):
		return row, false // it runs, or ended with its last attempt
	}
	row.Name = "Not started"
	addWait(&row, j, kind, since, j.FinishedAt.Time)
	return row, true
}

// addWait adds the wait before an attempt to its row. A job that was submitted for later did not wait
// for a worker until then.
func addWait(row *web.WaterfallRow, j *jobs.Job, kind string, from, to time.Time) {
	var texts []string
	if j.RunAt != nil && from.Equal(j.CreatedAt.Time) && j.RunAt.After(from) && !j.RunAt.After(to) {
		row.Spans = append(row.Spans, web.Span{Kind: "later", From: from, To: j.RunAt.Time})
		texts = append(texts, web.Took(j.RunAt.Sub(from))+" delay")
		from = j.RunAt.Time
	}
	row.Spans = append(row.Spans, web.Span{Kind: kind, From: from, To: to})
	text := web.Took(to.Sub(from))
	if kind == "later" {
		text += " backoff"
	}
	row.Waited = strings.Join(append(texts, text), ", ")
}

// attemptName names an attempt, and its step if the job has several.
func attemptName(j *jobs.Job, step, number int) string {
	if j.Steps > 1 {
		return fmt.Sprintf("Step %d, attempt %d", step, number)
	}
	return fmt.Sprintf("Attempt %d", number)
}

// severalWorkers reports whether not all attempts of a job ran in the same worker.
func severalWorkers(j *jobs.Job) bool {
	return slices.ContainsFunc(j.History, func(a jobs.Attempt) bool { return a.WorkerID != j.History[0].WorkerID })
}
