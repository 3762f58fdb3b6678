package pages

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/web"
)

// timeline returns the history of a job, oldest first.
func timeline(j *jobs.Job) []web.Moment {
	moments := []web.Moment{{At: j.CreatedAt.Time, Status: "queued", Text: "Submitted"}}
	if j.RunAt != nil && j.Attempt <= 1 && len(j.History) == 0 {
		moments = append(moments, web.Moment{At: j.RunAt.Time, Status: "scheduled", Text: "Scheduled for"})
	}
	last := j.CreatedAt.Time
	for i, attempt := range j.History {
		started := web.Moment{
			At: attempt.StartedAt.Time, Status: "running", Text: fmt.Sprintf("Attempt %d started", attempt.Number),
			Note: "after " + web.Took(attempt.StartedAt.Sub(last)) + " in the queue",
		}
		if j.Steps > 1 {
			started.Text += fmt.Sprintf(", step %d", attempt.Step)
		}
		if i > 0 && j.History[i-1].Status == jobs.Retrying {
			started.Note = "after a backoff of " + web.Took(attempt.StartedAt.Sub(last))
		}
		if i == 0 && attempt.Number > 1 {
			started.Note = "" // the history before this attempt was truncated
		}
		moments = append(moments, started)
		if attempt.FinishedAt == nil {
			continue
		}
		last = attempt.FinishedAt.Time
		moments = append(moments, attemptMoment(j, &attempt))
	}
	if j.Status == jobs.Retrying && j.RunAt != nil {
		moments = append(moments, web.Moment{At: j.RunAt.Time, Status: "retrying", Text: "Next attempt"})
	}
	ran := len(j.History) > 0 && j.History[len(j.History)-1].FinishedAt != nil && j.FinishedAt != nil &&
		j.History[len(j.History)-1].FinishedAt.Equal(j.FinishedAt.Time)
	if j.FinishedAt != nil && !ran {
		moments = append(moments, web.Moment{
			At: j.FinishedAt.Time, Status: string(j.Status), Text: title(string(j.Status)),
		})
	}
	return moments
}

// attemptMoment returns the timeline entry for the end of an attempt.
func attemptMoment(j *jobs.Job, attempt *jobs.Attempt) web.Moment {
	m := web.Moment{
		At: attempt.FinishedAt.Time, Status: string(attempt.Status), Text: title(string(attempt.Status)),
		Note: "after " + web.Took(attempt.FinishedAt.Sub(attempt.StartedAt.Time)),
	}
	switch {
	case attempt.Status == jobs.Succeeded && attempt.Step < j.Steps:
		m.Text = fmt.Sprintf("Step %d succeeded", attempt.Step)
	case attempt.Status == jobs.Retrying:
		m.Text = "Failed, will be retried"
	case attempt.Status == jobs.Queued:
		m.Text = "Returned to the queue"
	}
	if attempt.Error != nil {
		m.Note += ": " + attempt.Error.Message
	}
	return m
}

// title capitalizes a word.
func title(word string) string {
	r, size := utf8.DecodeRuneInString(word)
	if size == 0 {
		return ""
	}
	return string(unicode.ToTitle(r)) + word[size:]
}

// addFacts adds further properties of a job to its view, some of them for its owner only.
func (a *Pages) addFacts(ctx context.Context, v *web.JobPage, j *jobs.Job) error {
	v.Facts = append(v.Facts,
		web.Fact{Name: "Attempt", Text: fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts)},
		web.Fact{Name: "Timeout", Text: web.Took(time.Duration(j.Timeout)) + " per attempt"},
		web.Fact{Name: "Priority", Text: strconv.Itoa(j.Priority)},
		web.Fact{Name: "Tags", Text: strings.Join(j.Tags, ", ")},
		web.Fact{Name: "Metadata", Text: string(j.Metadata)},
		web.Fact{Name: "Created", At: &j.CreatedAt.Time},
	)
	if j.StartedAt == nil {
		v.Facts = append(v.Facts, web.Fact{Name: "Expires", At: moment(j.ExpiresAt)})
	}
	if j.StartedAt != nil && j.FinishedAt != nil {
		v.Facts = append(v.Facts, web.Fact{Name: "Duration", Text: web.Took(j.FinishedAt.Sub(j.StartedAt.Time))})
	}
	v.Facts = append(v.Facts, removal(j))
	if v.Mine {
		worker, err := a.workerFact(ctx, j)
		if err != nil {
			return err
		}
		v.Facts = append(v.Facts, worker, web.Fact{Name: "Callback URL", Text: string(j.CallbackURL)})
	}
	if j.Callback != nil {
		v.Facts = append(v.Facts, web.Fact{
			Name: "Callback", Text: fmt.Sprintf("%s, attempts: %d", j.Callback.Status, j.Callback.Attempts),
		})
	}
	more, err := a.retryFacts(ctx, j, v.Mine)
	v.Facts = slices.DeleteFunc(append(v.Facts, more...), func(f web.Fact) bool { return f.Text == "" && f.At == nil })
	return err
}

// removal returns when the record of a job is removed.
func removal(j *jobs.Job) web.Fact {
	if at := j.RemoveAt(); at != nil {
		return web.Fact{Name: "Removed at", At: &at.Time}
	}
	return web.Fact{Name: "Removed", Text: web.Took(time.Duration(j.Retain)) + " after its end"}
}

// workerFact returns who ran the newest attempt, and on which host if that worker still exists.
func (a *Pages) workerFact(ctx context.Context, j *jobs.Job) (web.Fact, error) {
	fact := web.Fact{Name: "Worker"}
	if len(j.History) == 0 {
		return fact, nil
	}
	fact.Text = j.History[len(j.History)-1].WorkerID
	host, err := a.Queue.WorkerHost(ctx, fact.Text)
	if host != "" {
		fact.Text += " on " + host
	}
	return fact, err
}

// uploadRows returns the files of a job's input, sorted by their names.
func uploadRows(j *jobs.Job) []web.Upload {
	rows := make([]web.Upload, 0, len(j.Uploads))
	for id, f := range j.Uploads {
		rows = append(rows, web.Upload{ID: id, Href: "/v1/jobs/" + j.ID + "/uploads/" + id, Name: f.Name, Type: f.ContentType, Size: web.Size(f.Bytes), SHA256: f.SHA256})
	}
	slices.SortFunc(rows, func(a, b web.Upload) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return rows
}

func moment(t *store.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}

// stepRows returns the progress of the steps of a job.
func stepRows(j *jobs.Job) []web.StepRow {
	rows := make([]web.StepRow, 0, len(j.Chain))
	for i, step := range j.Chain {
		row := web.StepRow{Number: strconv.Itoa(i + 1), Service: step.Service, Status: "waiting"}
		switch {
		case step.FinishedAt != nil:
			row.Status, row.Output = "succeeded", clippedText(string(step.Output))
		case i+1 == j.Step:
			row.Status = string(j.Status)
		}
		rows = append(rows, row)
	}
	return rows
}
