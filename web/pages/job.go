package pages

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coatcheck/api"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
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
	view, err := a.jobView(r, &job, false)
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
	view, err := a.jobView(r, &job, true)
	return "job", view, err
}

// jobView returns the view of a job.
func (a *Pages) jobView(r *http.Request, j *jobs.Job, owned bool) (web.JobPage, error) {
	ctx := r.Context()
	if err := a.LoadOutput(ctx, j); err != nil {
		return web.JobPage{}, err
	}
	v := web.JobPage{
		Page: a.pageFrame(ctx, string(j.Status)+": "+j.Service, "/jobs"), ID: j.ID, Service: j.Service,
		Status: string(j.Status), Percent: j.Progress.Percent, Message: j.Progress.Message,
		Done: j.Done, Mine: owned, EventsURL: j.EventsURL, StatusURL: j.StatusURL, ResultURL: j.ResultURL,
		HasCallback: j.CallbackURL != "",
		Timeline:    timeline(j), Attempts: waterfall(j, time.Now()),
	}
	v.Attempts.Workers = owned && severalWorkers(j)
	if owned {
		// Use the session, so that the page's requests do not contain the
		// token.
		path := "/v1/jobs/" + j.ID
		v.EventsURL, v.StatusURL, v.ResultURL, v.ShareURL = path+"/events", path, path+"/result",
			j.TokenURL(api.InfoOf(ctx).BaseURL)
		v.CanCancel, v.CanRetry, v.Canceling = !j.Done && !j.CancelRequested, j.Done, !j.Done && j.CancelRequested
		v.RunAgain = serviceHref(j.Service, url.Values{"from": {j.ID}})
		v.Input, v.Uploads = clippedText(prettyJSON(j.Input)), uploadRows(j)
		if err := a.addDeliveriesTo(ctx, &v, j); err != nil {
			return v, err
		}
	}
	switch {
	case j.Error != nil && j.Done:
		v.Error, v.ErrorCode = j.Error.Message, j.Error.Code
	case j.OutputFile != "":
		a.addFile(ctx, &v, j)
	case j.Status == jobs.Succeeded:
		v.Output, v.Tree = clippedText(prettyJSON(j.Output)), jsonTree(j.Output)
	}
	if j.Steps > 1 {
		v.Steps = stepRows(j)
	}
	if err := a.addFacts(ctx, &v, j); err != nil {
		return v, err
	}
	var err error
	if v.Log, err = a.logView(ctx, j, r.URL.Query()); err != nil {
		return v, err
	}
	linkAttempts(v.Attempts.Rows, v.Log.Lines)
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

func (a *Pages) cancelAction(r *http.Request) (string, error) {
	job, err := a.OwnedJob(r.Context(), r.PathValue("job"))
	if err != nil {
		return "", err
	}
	reason := r.PostForm.Get("reason")
	if strings.ContainsRune(reason, 0) || len(reason) > 1000 {
		return "", problem.Invalid([]schema.ProblemError{{
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
