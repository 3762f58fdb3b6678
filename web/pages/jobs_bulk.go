package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"coatcheck/api"
	"coatcheck/api/problem"
	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// confirmBulk returns the confirmation for an action on all matching jobs, or on those that were
// selected, with their number.
func (a *Pages) confirmBulk(
	ctx context.Context, do string, filter queue.Filter, now time.Time, selected bool,
) (*web.Bulk, error) {
	filter.CreatedBefore = now
	b := &web.Bulk{Verb: do, Most: queue.MaxBulk, Before: now.UTC().Format(time.RFC3339Nano)}
	if selected && len(filter.IDs) == 0 {
		b.Question = "No jobs are selected."
		return b, nil
	}
	var err error
	switch do {
	case "cancel":
		b.Count, err = a.Queue.CountCancelable(ctx, filter)
	case "retry":
		b.Count, err = a.Queue.CountRetryable(ctx, filter)
	default:
		return nil, problem.New("bad-request", "expected cancel or retry")
	}
	reason := map[string]string{"cancel": "all of them have ended", "retry": "none of them failed, expired or was canceled"}[do]
	if selected && b.Count < len(filter.IDs) {
		b.Note = fmt.Sprintf("You selected %d; the action does not apply to the others.", len(filter.IDs))
	}
	b.Question = fmt.Sprintf("%s %s jobs?", strings.ToUpper(do[:1])+do[1:], web.Count(int64(b.Count)))
	switch b.Count {
	case 0:
		b.Question = fmt.Sprintf("No matching jobs can be %s: %s.", map[string]string{"cancel": "canceled", "retry": "retried"}[do], reason)
	case 1:
		b.Question = strings.ToUpper(do[:1]) + do[1:] + " 1 job?"
	}
	return b, err
}

// bulkAction cancels or retries all matching jobs.
func (a *Pages) bulkAction(r *http.Request) (string, error) {
	ctx := r.Context()
	f, err := jobFilterOf(r.PostForm)
	if err != nil {
		return "", err
	}
	before, err := time.Parse(time.RFC3339Nano, r.PostForm.Get("before"))
	if err != nil {
		return "", problem.New("bad-request", "the form has no valid time of confirmation")
	}
	filter := f.filter(a.OwnerFilter(ctx), before)
	filter.CreatedBefore = before
	var n int
	switch do := r.PostForm.Get("do"); do {
	case "cancel":
		n, err = a.Queue.CancelAll(ctx, filter, "")
	case "retry":
		n, err = a.Queue.RetryAll(ctx, filter, api.InfoOf(ctx).BaseURL, api.InfoOf(ctx).User.MayRun)
	default:
		return "", problem.New("bad-request", "expected cancel or retry")
	}
	if err != nil {
		return "", err
	}
	return href("/jobs", f.query(), "did", r.PostForm.Get("do"), "n", strconv.Itoa(n)), nil
}

// notice returns the message about the result of a bulk action.
func notice(v url.Values) string {
	n, err := strconv.ParseInt(v.Get("n"), 10, 64)
	if err != nil {
		return ""
	}
	switch v.Get("did") {
	case "cancel":
		return web.Count(n) + " canceled. Running jobs are being stopped."
	case "retry":
		return retried(n)
	case "redeliver":
		return web.Count(n) + " queued for redelivery, 50 per second."
	}
	return ""
}
