package pages

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"coatcheck/api"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/web"
)

const (
	// recentJobs is the number of recent jobs on the page of a service.
	recentJobs = 8
	// servicesRefresh is the refresh interval of the page, in seconds.
	servicesRefresh = 5
)

// servicesPage shows the services and the form of one of them.
func (a *Pages) servicesPage(r *http.Request) (string, any, error) {
	name := r.PathValue("service")
	if name == "" {
		for s := range a.ServicesOf(r.Context()) {
			name = s.Name
			break
		}
	}
	if name == "" {
		return "services", web.ServicesPage{Page: a.pageFrame(r.Context(), "Services", "/services")}, nil
	}
	s, err := a.Service(r.Context(), name)
	if err != nil {
		return "", nil, err
	}
	f := a.newForm(s)
	f.json = r.URL.Query().Get("as") == "json"
	if from := r.URL.Query().Get("from"); from != "" {
		job, err := a.OwnedJob(r.Context(), from)
		if err != nil {
			return "", nil, err
		}
		f.fillFrom(&job, a.Validator.Fill(s.Name, job.Input))
	}
	view, err := a.serviceView(r.Context(), f)
	return "services", view, err
}

// submitPage submits a job from a form. If there are errors, it shows the form
// again with the entered values and an error at each invalid field. With the
// field "edit", it only shows the form again, for further items of lists and for
// code examples that follow the form.
func (a *Pages) submitPage(w http.ResponseWriter, r *http.Request) {
	if !a.authorizePage(w, r) {
		return
	}
	f, uploads, ok, err := a.readServiceForm(w, r)
	if !ok {
		return
	}
	var job jobs.Job
	status := http.StatusOK
	if err == nil && !f.values.Has("edit") {
		if job, err = a.submitForm(r.Context(), f, uploads); err == nil {
			http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
			return
		}
	}
	if err != nil {
		p := a.ProblemOf(r.Context(), err)
		status = p.Status
		f.setErrors(p)
	}
	view, err := a.serviceView(r.Context(), f)
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	a.render(w, r, status, "services", view)
}

// readServiceForm reads the form of a service. If it cannot be shown again, it responds and returns
// false.
func (a *Pages) readServiceForm(w http.ResponseWriter, r *http.Request) (f *form, uploads *api.Form, ok bool, err error) {
	s, err := a.Service(r.Context(), r.PathValue("service"))
	if err != nil {
		a.ProblemPage(w, r, err)
		return nil, nil, false, err
	}
	f = a.newForm(s)
	switch {
	case len(f.files) > 0 && api.IsMultipart(r):
		if uploads, err = a.ReadForm(r, s.Name); err == nil {
			f.values = uploads.Values
			if errs := api.RepeatedNames("body", f.values, nil); errs != nil {
				err = problem.Invalid(errs)
			}
		}
	case a.readForm(w, r):
		f.values, f.json = r.PostForm, r.PostForm.Get("as") == "json"
	default:
		return nil, nil, false, nil
	}
	return f, uploads, true, err
}

// submitForm submits the job of the form, with the same validation as the API.
func (a *Pages) submitForm(ctx context.Context, f *form, uploads *api.Form) (jobs.Job, error) {
	body, same := f.body(uploads.Refs(), false), f.body(uploads.Contents(), false)
	job, _, err := a.SubmitJob(ctx, func() (jobs.Submission, error) {
		info := api.InfoOf(ctx)
		s, err := a.Decode(ctx, f.service.Name, "application/json", body)
		s.Owner, s.BaseURL = info.User.Name, info.BaseURL
		// Sending the same form twice creates one job. Sending it with changes
		// creates two.
		sum := sha256.Sum256(same)
		s.Fingerprint = hex.EncodeToString(sum[:])
		if key := f.values.Get("key"); key != "" && len(key) <= 64 {
			s.IdempotencyKey = "page:" + key + ":" + s.Fingerprint
		}
		return s, err
	})
	return job, err
}

// serviceView returns the view of a service, with the form.
func (a *Pages) serviceView(ctx context.Context, f *form) (web.ServicesPage, error) {
	s := f.service
	v := web.ServicesPage{
		Page: a.pageFrame(ctx, s.Name, "/services"), Name: s.Name, Summary: s.Summary, Form: f.view(rand.Text()),
		Refresh: servicesRefresh, JobsHref: href("/jobs", jobFilter{service: s.Name}.query()),
		Limits: fmt.Sprintf("Timeout: %s per attempt. Attempts: at most %d.", web.Took(s.Timeout), s.MaxAttempts),
	}
	for other := range a.ServicesOf(ctx) {
		v.Services = append(v.Services, web.Link{
			Name: other.Name, Href: "/services/" + other.Name, About: other.Summary, Here: other == s,
		})
	}
	d, err := a.Describe(ctx, s)
	if err != nil {
		return v, err
	}
	v.Schema = prettyJSON(d.Input)
	if v.Snippets, err = a.submitSnippets(ctx, f); err != nil {
		return v, err
	}
	services, _, err := a.Queue.ServiceOverviews(ctx, a.OwnerFilter(ctx))
	if err != nil {
		return v, err
	}
	v.Activity = serviceSummary(&queue.ServiceOverview{Service: s.Name})
	for i := range services {
		if services[i].Service == s.Name {
			v.Activity = serviceSummary(&services[i])
		}
	}
	recent, err := a.Queue.List(ctx, queue.Filter{
		Owner: api.InfoOf(ctx).User.Name, Service: s.Name, Limit: recentJobs,
	})
	if err != nil {
		return v, err
	}
	for i := range recent {
		v.Recent = append(v.Recent, jobRow(&recent[i]))
	}
	return v, nil
}

// prettyJSON indents JSON. It returns invalid JSON unchanged.
func prettyJSON(b json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return string(b)
	}
	return out.String()
}

// serviceHref returns the path of a service's page.
func serviceHref(name string, query url.Values) string {
	href := "/services/" + url.PathEscape(name)
	if len(query) > 0 {
		href += "?" + query.Encode()
	}
	return href
}
