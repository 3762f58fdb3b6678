package pages

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"coatcheck/jobs"
	"coatcheck/web"
)

// addRetries links the jobs of a list to the jobs that run them again.
func (a *Pages) addRetries(ctx context.Context, rows []web.JobRow) error {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	retries, err := a.Queue.Retries(ctx, ids...)
	for i := range rows {
		rows[i].RetriedAs = retries[rows[i].ID]
	}
	return err
}

// retryFacts links a job to the one that it runs again, and to the newest one that runs it again.
func (a *Pages) retryFacts(ctx context.Context, j *jobs.Job, owned bool) ([]web.Fact, error) {
	retries, err := a.Queue.Retries(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	facts := []web.Fact{{Name: "Retry of", Text: string(j.RetryOf)}, {Name: "Retried as", Text: retries[j.ID]}}
	facts = slices.DeleteFunc(facts, func(f web.Fact) bool { return f.Text == "" })
	for i := range facts {
		if owned { // the page of a token links to no job that its reader can't open
			facts[i].Href = "/jobs/" + facts[i].Text
		}
	}
	return facts, nil
}

// applies reports whether a bulk action can change jobs that match a filter.
func applies(statuses []jobs.Status, filtered string) bool {
	return filtered == "" || slices.Contains(statuses, jobs.Status(filtered))
}

// retried says what a bulk retry did.
func retried(n int64) string {
	if n == 1 {
		return "Created 1 new job."
	}
	return "Created " + web.Count(n) + " new jobs."
}

// createdHref returns the path of a list with the jobs that a bulk retry created; "" if there are none.
func createdHref(v url.Values) string {
	if n, err := strconv.Atoi(v.Get("n")); err != nil || n <= 0 || v.Get("did") != "retry" {
		return ""
	}
	return "/jobs"
}
