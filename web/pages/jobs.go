package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
	"coatcheck/web"
)

const (
	// pageLimit is the number of rows in a list.
	pageLimit = 50
	// listRefresh is the refresh interval of lists, in seconds.
	listRefresh = 3
)

// statuses are the values of the status filter.
var statuses = []string{"scheduled", "queued", "running", "retrying", "succeeded", "failed", "canceled", "expired"}

// A jobFilter is the filter of the job list, as in its URL.
type jobFilter struct {
	status, service, since, q, text string
	ids                             []string // of selected jobs; nil for all
}

func jobFilterOf(v url.Values) (jobFilter, error) {
	f := jobFilter{
		v.Get("status"), v.Get("service"), v.Get("since"), strings.TrimSpace(v.Get("q")), strings.TrimSpace(v.Get("text")), v["id"],
	}
	var errs []schema.ProblemError
	if f.status != "" && !slices.Contains(statuses, f.status) {
		errs = append(errs, schema.ProblemError{
			Location: "query.status", Message: "expected one of " + strings.Join(statuses, ", "),
		})
	}
	if d, err := time.ParseDuration(f.since); f.since != "" && (err != nil || d <= 0) {
		errs = append(errs, schema.ProblemError{Location: "query.since", Message: "expected a duration such as 24h"})
	}
	if len(f.ids) > pageLimit {
		errs = append(errs, schema.ProblemError{Location: "query.id", Message: fmt.Sprintf("expected at most %d jobs", pageLimit)})
	}
	for name, value := range map[string]string{"service": f.service, "q": f.q, "text": f.text, "id": strings.Join(f.ids, "")} {
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			errs = append(errs, schema.ProblemError{Location: "query." + name, Message: "expected text in UTF-8 without NUL"})
		}
	}
	if errs != nil {
		return f, problem.Invalid(errs)
	}
	return f, nil
}

// query returns the filter as URL parameters, without selected jobs.
func (f jobFilter) query() url.Values {
	q := make(url.Values)
	for name, value := range map[string]string{"status": f.status, "service": f.service, "since": f.since, "q": f.q, "text": f.text} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// filter returns the filter for package jobs.
func (f jobFilter) filter(owner string, now time.Time) queue.Filter {
	filter := queue.Filter{Owner: owner, Service: f.service, Tag: f.q, Text: f.text, IDs: f.ids}
	if f.status != "" {
		filter.Statuses = []jobs.Status{jobs.Status(f.status)}
	}
	if d, err := time.ParseDuration(f.since); err == nil {
		filter.CreatedAfter = now.Add(-d)
	}
	return filter
}

// href returns a path with a query and further parameters, given as pairs of
// names and values.
func href(path string, query url.Values, more ...string) string {
	q := make(url.Values)
	maps.Copy(q, query)
	for pair := range slices.Chunk(more, 2) {
		q.Set(pair[0], pair[len(pair)-1])
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// jobsPage lists jobs, newest first.
func (a *Pages) jobsPage(r *http.Request) (string, any, error) {
	ctx, values, now := r.Context(), r.URL.Query(), time.Now()
	f, err := jobFilterOf(values)
	if err != nil {
		return "", nil, err
	}
	if strings.HasPrefix(f.q, "job_") {
		if job, err := a.OwnedJob(ctx, f.q); err == nil {
			return "", nil, redirect("/jobs/" + job.ID)
		}
	}
	owner := a.OwnerFilter(ctx)
	all := f
	all.ids = nil // the list shows the others too
	filter := all.filter(owner, now)
	v := web.JobsPage{
		Page: a.pageFrame(ctx, "Jobs", "/jobs"), Status: f.status, Service: f.service,
		Since: f.since, Tag: f.q, Text: f.text, Searched: web.Count(queue.MaxSearched),
		Filtered: len(f.query()) > 0, Owners: owner == "" && !a.Auth.Open(), Done: notice(values),
		DoneHref: createdHref(values),
	}
	if applies([]jobs.Status{jobs.Scheduled, jobs.Queued, jobs.Running, jobs.Retrying}, f.status) {
		v.CancelHref = href("/jobs", f.query(), "do", "cancel")
	}
	if applies([]jobs.Status{jobs.Failed, jobs.Canceled, jobs.Expired}, f.status) {
		v.RetryHref = href("/jobs", f.query(), "do", "retry")
	}
	for s := range a.ServicesOf(ctx) {
		v.Services = append(v.Services, s.Name)
	}
	if v.Tabs, err = a.statusTabs(ctx, f, owner); err != nil {
		return "", nil, err
	}
	v.Hidden = hiddenFields(f.query())
	cursor := values.Get("cursor")
	if filter.Before, err = a.OpenCursor(cursor, "jobs page", f.query()); err != nil {
		return "", nil, err
	}
	filter.Limit = pageLimit + 1
	found, err := a.Queue.List(ctx, filter)
	if err != nil {
		return "", nil, err
	}
	if len(found) > pageLimit {
		found = found[:pageLimit]
		v.Older = href("/jobs", f.query(), "cursor", a.SealCursor(found[pageLimit-1].ID, "jobs page", f.query()))
	}
	for i := range found {
		v.Jobs = append(v.Jobs, jobRow(&found[i]))
	}
	if err := a.addRetries(ctx, v.Jobs); err != nil {
		return "", nil, err
	}
	if cursor != "" || values.Get("do") != "" {
		v.Newer = href("/jobs", f.query())
	}
	if cursor == "" {
		v.Refresh = listRefresh
	}
	if do := values.Get("do"); do != "" {
		if v.Bulk, err = a.confirmBulk(ctx, do, f.filter(owner, now), now, values.Has("selected")); err != nil {
			return "", nil, err
		}
		v.Bulk.IDs = f.ids
		// Do not refresh: the confirmed action must apply to the jobs shown
		// here.
		v.Refresh = 0
	}
	return "jobs", v, nil
}

// maxTabCount is the largest number on the tab of a status; more are shown as that many and a plus.
const maxTabCount = 1000

// statusTabs returns a tab for each status, which keeps the rest of the filter. Numbers are of all
// jobs, so they are shown without another filter only.
func (a *Pages) statusTabs(ctx context.Context, f jobFilter, owner string) ([]web.Tab, error) {
	query := f.query()
	query.Del("status")
	var counts map[jobs.Status]int64
	if len(query) == 0 {
		var err error
		if counts, err = a.Queue.CountStatuses(ctx, owner, maxTabCount); err != nil {
			return nil, err
		}
	}
	tabs := []web.Tab{{Name: "all", Href: href("/jobs", query), Here: f.status == ""}}
	for _, status := range statuses {
		tabs = append(tabs, web.Tab{
			Name: status, Href: href("/jobs", query, "status", status), Here: f.status == status,
			Count: tabCount(counts[jobs.Status(status)]),
		})
	}
	return tabs, nil
}

// tabCount returns the number on a tab; "" for 0.
func tabCount(n int64) string {
	switch {
	case n >= maxTabCount:
		return web.Count(n) + "+"
	case n > 0:
		return web.Count(n)
	}
	return ""
}

// A redirect is an error that redirects to the given path.
type redirect string

// Error implements error.
func (r redirect) Error() string { return "the page is at " + string(r) }

// jobRow returns a job as a list row.
func jobRow(j *jobs.Job) web.JobRow {
	row := web.JobRow{
		Href: "/jobs/" + j.ID, ID: j.ID, Service: j.Service, Status: string(j.Status), Owner: j.Owner,
		Percent: j.Progress.Percent, Message: j.Progress.Message,
		Attempt: fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts), Created: j.CreatedAt.Time,
		Digest: j.Digest, Tags: j.Tags,
	}
	if j.Error != nil {
		row.Message = j.Error.Message
		if j.Error.Code != string(j.Status) { // the status says the rest
			row.Code = j.Error.Code
		}
	}
	if j.Callback != nil {
		row.Callback = j.Callback.Status
	}
	if j.FinishedAt != nil && j.StartedAt != nil {
		row.Took = web.Took(j.FinishedAt.Sub(j.StartedAt.Time))
	}
	return row
}

// isRedirect returns the path that an error redirects to, if any.
func isRedirect(err error) (string, bool) {
	to, ok := errors.AsType[redirect](err)
	return string(to), ok
}
