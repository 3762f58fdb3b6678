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

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// recentJobs is the number of recent jobs on the services page.
const recentJobs = 8

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
	f := &form{
		service: s, schema: a.inputSchema(name), files: a.Validator.Files(name), json: r.URL.Query().Get("as") == "json",
		resolve: a.Validator.Registry.SchemaFromRef,
	}
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
// again with the entered values and an error at each invalid field.
func (a *Pages) submitPage(w http.ResponseWriter, r *http.Request) {
	if !a.authorizePage(w, r) {
		return
	}
	s, err := a.Service(r.Context(), r.PathValue("service"))
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	f := &form{
		service: s, schema: a.inputSchema(s.Name), files: a.Validator.Files(s.Name), resolve: a.Validator.Registry.SchemaFromRef,
	}
	var uploads *api.Form
	switch {
	case len(f.files) > 0 && api.IsMultipart(r):
		if uploads, err = a.ReadForm(r, s.Name); err == nil {
			f.values = uploads.Values
			if errs := api.RepeatedNames("body", f.values, nil); errs != nil {
				err = api.Invalid(errs)
			}
		}
	case a.readForm(w, r):
		f.values, f.json = r.PostForm, r.PostForm.Get("as") == "json"
	default:
		return
	}
	var job jobs.Job
	if err == nil {
		job, err = a.submitForm(r.Context(), f, uploads)
	}
	if err == nil {
		http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
		return
	}
	p := a.ProblemOf(r.Context(), err)
	f.setErrors(p)
	view, err := a.serviceView(r.Context(), f)
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	a.render(w, r, p.Status, "services", view)
}

// submitForm submits the job of the form, with the same validation as the API.
func (a *Pages) submitForm(ctx context.Context, f *form, uploads *api.Form) (jobs.Job, error) {
	body, err := f.body(uploads.Refs())
	if err != nil {
		return jobs.Job{}, err
	}
	same, err := f.body(uploads.Contents())
	if err != nil {
		return jobs.Job{}, err
	}
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

// inputSchema returns the schema of a service's input, which is an object.
func (a *Pages) inputSchema(service string) *huma.Schema {
	return a.Validator.Resolve(a.Validator.Input(service))
}

// serviceView returns the view of a service, with the form.
func (a *Pages) serviceView(ctx context.Context, f *form) (web.ServicesPage, error) {
	s := f.service
	v := web.ServicesPage{
		Page: a.pageFrame(ctx, s.Name, "/services"), Name: s.Name, Summary: s.Summary, Form: f.view(rand.Text()),
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
	recent, err := a.Queue.List(ctx, queue.Filter{Owner: api.InfoOf(ctx).User.Name, Limit: recentJobs})
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
