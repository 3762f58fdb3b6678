package pages

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/counts"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
	"coatcheck/web"
)

// overviewRefresh is the refresh interval of the overview, in seconds.
const overviewRefresh = 5

// overviewPage shows how the jobs are doing that the user may see.
func (a *Pages) overviewPage(r *http.Request) (string, any, error) {
	ctx, query := r.Context(), r.URL.Query()
	if query.Has("from") || query.Has("as") { // the services page was here
		return "", nil, redirect("/services?" + r.URL.RawQuery)
	}
	chosen, err := rangeOf(query.Get("range"))
	if err != nil {
		return "", nil, err
	}
	owner := a.OwnerFilter(ctx)
	o, err := a.Queue.Overview(ctx, owner)
	if err != nil {
		return "", nil, err
	}
	periods, err := a.Queue.History(ctx, owner, chosen.Bar, chosen.Bars)
	if err != nil {
		return "", nil, err
	}
	v := web.OverviewPage{
		Page: a.pageFrame(ctx, "Overview", "/"), Refresh: overviewRefresh, Owners: owner == "" && !a.Auth.Open(),
		History: history(chosen, periods), Services: a.serviceSummaries(ctx, &o), Empty: true,
	}
	if o.Sampled {
		v.Sampled = queue.MaxSampled
	}
	for _, status := range statuses {
		n := o.Counts[jobs.Status(status)]
		v.Tiles = append(v.Tiles, web.StatusTile{Status: status, Href: "/jobs?status=" + status, Count: counted(n)})
		v.Empty = v.Empty && n == 0
	}
	v.Empty = v.Empty && len(v.History.Rows) == 0
	for _, other := range web.Ranges {
		v.Ranges = append(v.Ranges, web.Link{
			Name: other.Name, Href: "/?range=" + other.Name, Here: other.Name == chosen.Name,
		})
	}
	for i := range o.Running {
		v.Running = append(v.Running, jobRow(&o.Running[i]))
	}
	for i := range o.Failures {
		v.Failures = append(v.Failures, failure(&o.Failures[i]))
	}
	return "overview", v, nil
}

// rangeOf returns the range with a name; the default for "".
func rangeOf(name string) (web.Range, error) {
	if name == "" {
		return web.Ranges[0], nil
	}
	i := slices.IndexFunc(web.Ranges, func(r web.Range) bool { return r.Name == name })
	if i < 0 {
		return web.Range{}, problem.Invalid([]schema.ProblemError{
			{Location: "query.range", Message: "expected one of hour, day, week"},
		})
	}
	return web.Ranges[i], nil
}

// counted formats a number of jobs with a status.
func counted(n int64) string {
	if n >= queue.MaxCounted {
		return web.Count(queue.MaxCounted) + "+"
	}
	return web.Count(n)
}

// history returns the chart of the ended jobs.
func history(r web.Range, periods []counts.Period) web.History {
	columns := make([]web.HistoryColumn, len(periods))
	for i, p := range periods {
		columns[i] = web.HistoryColumn(p)
	}
	return web.NewHistory(r, columns)
}

// failure returns a failed job as a list entry.
func failure(j *jobs.Job) web.Failure {
	f := web.Failure{Href: "/jobs/" + j.ID, ID: j.ID, Service: j.Service, Owner: j.Owner}
	if j.Error != nil {
		f.Code, f.Message = j.Error.Code, j.Error.Message
	}
	if j.FinishedAt != nil {
		f.At = j.FinishedAt.Time
	}
	return f
}

// serviceSummaries returns the services that the user may run, and others that have jobs of theirs.
func (a *Pages) serviceSummaries(ctx context.Context, o *queue.Overview) []web.ServiceSummary {
	rows := make(map[string]queue.ServiceOverview)
	var names []string
	for _, s := range o.Services {
		rows[s.Service] = s
		names = append(names, s.Service)
	}
	may := make(map[string]bool)
	for s := range a.ServicesOf(ctx) {
		may[s.Name] = true
		names = append(names, s.Name)
	}
	slices.Sort(names)
	var summaries []web.ServiceSummary
	for _, name := range slices.Compact(names) {
		s := rows[name]
		s.Service = name
		summary := serviceSummary(&s)
		if may[name] {
			summary.Href = serviceHref(name, nil)
		}
		summaries = append(summaries, summary)
	}
	return summaries
}

// serviceSummary returns a service as a row.
func serviceSummary(s *queue.ServiceOverview) web.ServiceSummary {
	row := web.ServiceSummary{
		Service: s.Service, Queued: web.Count(s.Queued), Oldest: "–", Running: web.Count(s.Running),
		Ended: web.Count(s.Ended), FailureRate: "–", P50: "–", P95: "–", Idle: s.Queued+s.Running+s.Ended == 0,
	}
	list := jobFilter{service: s.Service}.query()
	if s.Queued > 0 {
		row.QueuedHref = href("/jobs", list, "status", string(jobs.Queued))
	}
	if s.Running > 0 {
		row.RunningHref = href("/jobs", list, "status", string(jobs.Running))
	}
	if s.Oldest != nil {
		row.Oldest = web.Took(time.Since(s.Oldest.Time))
	}
	if s.Ended > 0 {
		row.FailureRate = share(s.Failed, s.Ended)
	}
	if s.Ran > 0 {
		row.P50, row.P95 = web.Took(s.Run[0]), web.Took(s.Run[1])
	}
	return row
}

// share returns n of all as a percentage. Only none of all is 0%.
func share(n, all int64) string {
	percent := n * 100 / all
	if n > 0 && percent == 0 {
		return "<1%"
	}
	return strconv.FormatInt(percent, 10) + "%"
}
