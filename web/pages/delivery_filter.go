package pages

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
)

// deliveryStatuses are the values of the status filter of callbacks.
var deliveryStatuses = []string{"pending", "delivered", "failed"}

// deliveryEvents are the values of the event filter.
var deliveryEvents = []string{
	jobs.JobStarted, jobs.JobProgress, jobs.JobRetrying, jobs.JobSucceeded, jobs.JobFailed, jobs.JobCanceled,
	jobs.JobExpired, queue.CallbackTest,
}

// A deliveryFilter is the filter of the list of callbacks, as in its URL.
type deliveryFilter struct {
	status, event, url, host, job, since string
	ids                                  []string // of selected callbacks; nil for all
}

func deliveryFilterOf(v url.Values) (deliveryFilter, error) {
	f := deliveryFilter{
		v.Get("status"), v.Get("event"), strings.TrimSpace(v.Get("url")), v.Get("host"), strings.TrimSpace(v.Get("job")),
		v.Get("since"), v["id"],
	}
	var errs []schema.ProblemError
	reject := func(name, message string) {
		errs = append(errs, schema.ProblemError{Location: "query." + name, Message: message})
	}
	if f.status != "" && !slices.Contains(deliveryStatuses, f.status) {
		reject("status", "expected pending, delivered or failed")
	}
	if f.event != "" && !slices.Contains(deliveryEvents, f.event) {
		reject("event", "expected one of "+strings.Join(deliveryEvents, ", "))
	}
	if d, err := time.ParseDuration(f.since); f.since != "" && (err != nil || d <= 0) {
		reject("since", "expected a duration such as 24h")
	}
	if len(f.ids) > pageLimit {
		reject("id", fmt.Sprintf("expected at most %d callbacks", pageLimit))
	}
	texts := map[string]string{"url": f.url, "host": f.host, "job": f.job, "id": strings.Join(f.ids, "")}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if strings.ContainsRune(texts[name], 0) || !utf8.ValidString(texts[name]) {
			reject(name, "expected text in UTF-8 without NUL")
		}
	}
	if errs != nil {
		return f, problem.Invalid(errs)
	}
	return f, nil
}

// query returns the filter as URL parameters, without selected callbacks.
func (f deliveryFilter) query() url.Values {
	q := make(url.Values)
	for name, value := range map[string]string{
		"status": f.status, "event": f.event, "url": f.url, "host": f.host, "job": f.job, "since": f.since,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// filter returns the filter for package queue.
func (f deliveryFilter) filter(owner string, now time.Time) queue.DeliveryFilter {
	filter := queue.DeliveryFilter{
		Owner: owner, Status: f.status, Event: f.event, Text: f.url, Origin: f.host, JobID: f.job, IDs: f.ids,
	}
	if d, err := time.ParseDuration(f.since); err == nil {
		filter.CreatedAfter = now.Add(-d)
	}
	return filter
}

// redelivery returns the filter of the callbacks to be sent again: the selected ones, whatever
// became of them since they were selected, or else those that failed and match.
func (f deliveryFilter) redelivery(owner string, before time.Time) queue.DeliveryFilter {
	if len(f.ids) > 0 {
		return queue.DeliveryFilter{Owner: owner, IDs: f.ids}
	}
	f.status = "failed"
	filter := f.filter(owner, before)
	filter.CreatedBefore = before
	return filter
}

// without returns a query without one of its parameters.
func without(query url.Values, name string) url.Values {
	query = maps.Clone(query)
	query.Del(name)
	return query
}
