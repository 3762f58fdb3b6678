package pages

import (
	"fmt"
	"net/http"
	"time"

	"coatcheck/api"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// systemRefresh is the refresh interval of the system page, in seconds.
const systemRefresh = 5

// systemPage shows the state of the queue, the workers and the database.
func (a *Pages) systemPage(r *http.Request) (string, any, error) {
	s, err := a.Queue.Stats(r.Context())
	if err != nil {
		return "", nil, err
	}
	v := web.SystemPage{Page: a.pageFrame(r.Context(), "System", "/system"), Refresh: systemRefresh}
	oldest := "–"
	if s.Oldest != nil {
		oldest = web.Took(time.Since(s.Oldest.Time))
	}
	slots := 0
	for _, w := range s.Workers {
		if !w.Stale {
			slots += w.Concurrency
		}
	}
	v.Tiles = []web.Tile{
		{Name: "Queued", Value: web.Count(s.Depth[jobs.Queued])},
		{Name: "Oldest queued", Value: oldest},
		{Name: "Running", Value: web.Count(s.Depth[jobs.Running]), Note: fmt.Sprintf("of %d slots", slots)},
		{
			Name: "Scheduled", Value: web.Count(s.Depth[jobs.Scheduled] + s.Depth[jobs.Retrying]),
			Note: web.Count(s.Depth[jobs.Retrying]) + " retrying",
		},
		{Name: "Callbacks pending", Value: web.Count(s.Callbacks)},
		{Name: "Streams", Value: web.Count(int64(a.OpenStreams())), Note: "in this process"},
	}
	columns := make([]web.Column, len(s.Minutes))
	for i, m := range s.Minutes {
		columns[i] = web.Column{At: m.At, Good: m.Succeeded, Bad: m.Failed}
	}
	v.Chart = web.NewChart(columns)
	v.Services = serviceRows(s.Services)
	if v.Workers, err = a.workers(r.Context(), s.Workers); err != nil {
		return "", nil, err
	}
	if v.Holds, err = a.holds(r.Context()); err != nil {
		return "", nil, err
	}
	v.Owners = a.OwnerFilter(r.Context()) == "" && !a.Auth.Open()
	events := "in-process"
	if a.Redis {
		events = "Redis"
	}
	if a.Hub.Degraded() {
		events += ", unavailable: live events may be lost"
	}
	v.Facts = []web.Fact{
		{
			Name: "Database",
			Text: fmt.Sprintf("%s %s, %s", s.Database.Kind, s.Database.Version, web.Size(s.Database.Bytes)),
		},
		{Name: "Live events", Text: events},
		{Name: "Version", Text: a.Version},
		{Name: "Up since", At: &a.startedAt},
	}
	return "system", v, nil
}

// serviceRows returns the percentiles of the services, on a common scale.
func serviceRows(stats []queue.ServiceStats) []web.ServiceRow {
	var longest time.Duration
	for _, s := range stats {
		longest = max(longest, s.Wait[2], s.Run[2])
	}
	rows := make([]web.ServiceRow, 0, len(stats))
	for _, s := range stats {
		row := web.ServiceRow{Service: s.Service, Jobs: s.Jobs, Bars: web.NewSpread(s.Wait, s.Run, longest)}
		for i, percentile := range []string{"p50", "p95", "p99"} {
			row.Wait = append(row.Wait, web.Tile{Name: "queue time " + percentile, Value: web.Took(s.Wait[i])})
			row.Run = append(row.Run, web.Tile{Name: "run time " + percentile, Value: web.Took(s.Run[i])})
		}
		rows = append(rows, row)
	}
	return rows
}

// enginePolicy is the Content-Security-Policy of River's UI, which uses inline
// styles.
const enginePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// addEngine serves River's UI to admins.
func (a *Pages) addEngine() {
	if a.Engine == nil {
		return
	}
	a.Mount(api.EnginePath, func(w http.ResponseWriter, r *http.Request) {
		if !a.authorizePage(w, r) {
			return
		}
		if !api.InfoOf(r.Context()).User.Admin {
			a.ProblemPage(w, r, problem.New("forbidden", "only admins may open River's UI"))
			return
		}
		w.Header().Set("Content-Security-Policy", enginePolicy)
		a.Engine.ServeHTTP(w, r)
	})
}
