package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
	"coatcheck/web"
)

// maxShown is how many bytes of an output the page shows. The download has the
// whole output.
const maxShown = 256 << 10

// jobPage shows a job to clients with its token, and with all actions to its
// owner.
func (a *Pages) jobPage(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("job")
	if !hasToken(r.URL.Path) {
		a.servePage(a.ownJobPage)(w, r)
		return
	}
	// Redirect users who may change the job to the URL without the token.
	if err := a.Authenticate(r); err == nil {
		a.rotateSession(w, r)
		if job, err := a.OwnedJob(r.Context(), ref); err == nil {
			http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
			return
		}
	}
	job, err := a.FindJob(r.Context(), ref)
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	view, err := a.jobView(r.Context(), &job, false)
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	a.render(w, r, http.StatusOK, "job", view)
}

func (a *Pages) ownJobPage(r *http.Request) (string, any, error) {
	job, err := a.OwnedJob(r.Context(), r.PathValue("job"))
	if err != nil {
		return "", nil, err
	}
	view, err := a.jobView(r.Context(), &job, true)
	return "job", view, err
}

// jobView returns the view of a job.
func (a *Pages) jobView(ctx context.Context, j *jobs.Job, owned bool) (web.JobPage, error) {
	if err := a.LoadOutput(ctx, j); err != nil {
		return web.JobPage{}, err
	}
	v := web.JobPage{
		Page: a.pageFrame(ctx, string(j.Status)+": "+j.Service, "/jobs"), ID: j.ID, Service: j.Service,
		Status: string(j.Status), Percent: j.Progress.Percent, Message: j.Progress.Message,
		Done: j.Done, Mine: owned, EventsURL: j.EventsURL, StatusURL: j.StatusURL, ResultURL: j.ResultURL,
		HasCallback: j.CallbackURL != "",
		Timeline:    timeline(j), Facts: facts(j),
	}
	if owned {
		// Use the session, so that the page's requests do not contain the
		// token.
		path := "/v1/jobs/" + j.ID
		v.EventsURL, v.StatusURL, v.ResultURL, v.ShareURL = path+"/events", path, path+"/result",
			j.TokenURL(api.InfoOf(ctx).BaseURL)
		v.CanCancel, v.CanRetry, v.Canceling = !j.Done && !j.CancelRequested, j.Done, !j.Done && j.CancelRequested
		v.RunAgain = serviceHref(j.Service, url.Values{"from": {j.ID}})
		v.Input = clippedText(prettyJSON(j.Input))
		if err := a.addDeliveriesTo(ctx, &v, j); err != nil {
			return v, err
		}
	}
	switch {
	case j.Error != nil && j.Done:
		v.Error, v.ErrorCode = j.Error.Message, j.Error.Code
	case j.OutputFile != "":
		v.File, v.Output = a.fileView(j)
	case j.Status == jobs.Succeeded:
		v.Output = clippedText(prettyJSON(j.Output))
	}
	if j.Steps > 1 {
		v.Steps = stepRows(j)
	}
	more, err := a.retryFacts(ctx, j, owned)
	if err != nil {
		return v, err
	}
	v.Facts = append(v.Facts, more...)
	if v.Log, err = a.logView(ctx, j.ID); err != nil {
		return v, err
	}
	v.After = followAfter(j, &v.Log)
	opened := j.Opened(api.InfoOf(ctx).BaseURL)
	v.Snippets, err = a.jobSnippets(&opened)
	return v, err
}

// addDeliveriesTo adds the callbacks of the job, and refreshes the page while a
// callback is pending.
func (a *Pages) addDeliveriesTo(ctx context.Context, v *web.JobPage, j *jobs.Job) error {
	found, err := a.Queue.Deliveries(ctx, queue.DeliveryFilter{JobID: j.ID, Limit: 50})
	if err != nil {
		return err
	}
	for i := range found {
		v.Deliveries = append(v.Deliveries, deliveryRow(&found[i]))
		if found[i].Status == "pending" {
			v.Refresh = 1
		}
	}
	return nil
}

func clippedText(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "\n… the rest is in the download"
	}
	return s
}

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

// facts returns further properties of a job for display.
func facts(j *jobs.Job) []web.Fact {
	all := []web.Fact{
		{Name: "Attempt", Text: fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts)},
		{Name: "Priority", Text: strconv.Itoa(j.Priority)},
		{Name: "Tags", Text: strings.Join(j.Tags, ", ")},
		{Name: "Metadata", Text: string(j.Metadata)},
		{Name: "Expires", At: moment(j.ExpiresAt)},
	}
	if j.Callback != nil {
		all = append(all, web.Fact{
			Name: "Callback", Text: fmt.Sprintf("%s, attempts: %d", j.Callback.Status, j.Callback.Attempts),
		})
	}
	if j.StartedAt != nil && j.FinishedAt != nil {
		all = append(all, web.Fact{Name: "Duration", Text: web.Took(j.FinishedAt.Sub(j.StartedAt.Time))})
	}
	return slices.DeleteFunc(all, func(f web.Fact) bool { return f.Text == "" && f.At == nil })
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

func (a *Pages) cancelAction(r *http.Request) (string, error) {
	job, err := a.OwnedJob(r.Context(), r.PathValue("job"))
	if err != nil {
		return "", err
	}
	reason := r.PostForm.Get("reason")
	if strings.ContainsRune(reason, 0) || len(reason) > 1000 {
		return "", api.Invalid([]schema.ProblemError{{
			Location: "reason", Message: "expected at most 1000 bytes of text without NUL",
		}})
	}
	_, err = a.Queue.Cancel(r.Context(), job.ID, reason)
	return "/jobs/" + job.ID, err
}

func (a *Pages) retryAction(r *http.Request) (string, error) {
	job, err := a.OwnedJob(r.Context(), r.PathValue("job"))
	if err != nil {
		return "", err
	}
	job, _, err = a.SubmitJob(r.Context(), func() (jobs.Submission, error) {
		return job.Again(api.InfoOf(r.Context()).BaseURL, "")
	})
	return "/jobs/" + job.ID, err
}
