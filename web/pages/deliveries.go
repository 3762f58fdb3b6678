package pages

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
	"coatcheck/web"
)

// deliveriesPage lists callbacks, newest first.
func (a *Pages) deliveriesPage(r *http.Request) (string, any, error) {
	ctx, values := r.Context(), r.URL.Query()
	query, status := make(url.Values), values.Get("status")
	if status != "" {
		query.Set("status", status)
		if !slices.Contains([]string{"pending", "delivered", "failed"}, status) {
			return "", nil, api.Invalid([]schema.ProblemError{{
				Location: "query.status", Message: "expected pending, delivered or failed",
			}})
		}
	}
	v := web.DeliveriesPage{
		Page: a.pageFrame(ctx, "Callbacks", "/deliveries"), Status: status, Filtered: status != "",
		Done: notice(values), RedeliverAll: href("/deliveries", url.Values{"status": {"failed"}}, "do", "redeliver"),
	}
	filter := queue.DeliveryFilter{
		Owner: a.OwnerFilter(ctx), Status: status, Limit: pageLimit + 1, WithoutAttempts: true,
	}
	var err error
	if filter.Before, err = a.OpenCursor(values.Get("cursor"), "deliveries page", query); err != nil {
		return "", nil, err
	}
	found, err := a.Queue.Deliveries(ctx, filter)
	if err != nil {
		return "", nil, err
	}
	if len(found) > pageLimit {
		found = found[:pageLimit]
		v.Older = href("/deliveries", query, "cursor", a.SealCursor(found[pageLimit-1].ID, "deliveries page", query))
	}
	for i := range found {
		v.Deliveries = append(v.Deliveries, deliveryRow(&found[i]))
	}
	if values.Get("cursor") != "" {
		v.Newer = href("/deliveries", query)
	} else if values.Get("do") == "" {
		v.Refresh = listRefresh
	}
	if values.Get("do") == "redeliver" {
		n, err := a.Queue.CountDeliveries(ctx, queue.DeliveryFilter{Owner: a.OwnerFilter(ctx), Status: "failed"})
		if err != nil {
			return "", nil, err
		}
		v.Bulk = &web.Bulk{
			Count: min(n, queue.MaxRedeliveries), Most: queue.MaxRedeliveries,
			Question: fmt.Sprintf("Redeliver %s failed callbacks?", web.Count(int64(n))),
		}
		switch n {
		case 0:
			v.Bulk.Question = "There are no failed callbacks."
		case 1:
			v.Bulk.Question = "Redeliver 1 failed callback?"
		}
	}
	return "deliveries", v, nil
}

// redeliverAllAction resends all failed callbacks.
func (a *Pages) redeliverAllAction(r *http.Request) (string, error) {
	n, err := a.Queue.RedeliverAll(r.Context(), queue.DeliveryFilter{
		Owner: a.OwnerFilter(r.Context()), Status: "failed",
	})
	return href("/deliveries", nil, "did", "redeliver", "n", strconv.Itoa(n)), err
}

// deliveryPage shows a callback with the exact request and response of each
// attempt.
func (a *Pages) deliveryPage(r *http.Request) (string, any, error) {
	d, err := a.FindDelivery(r.Context(), r.PathValue("delivery"))
	if err != nil {
		return "", nil, err
	}
	v := web.DeliveryPage{
		Page: a.pageFrame(r.Context(), d.Event, "/deliveries"), Delivery: deliveryRow(&d), Body: prettyJSON(d.Body),
		LastErr: d.LastError,
	}
	if d.Status == "pending" {
		v.Refresh = 1
	}
	for _, attempt := range d.Attempts {
		v.Attempts = append(v.Attempts, attemptRow(&d, &attempt))
	}
	return "delivery", v, nil
}

func (a *Pages) redeliverAction(r *http.Request) (string, error) {
	d, err := a.FindDelivery(r.Context(), r.PathValue("delivery"))
	if err != nil {
		return "", err
	}
	_, err = a.Queue.Redeliver(r.Context(), d.ID)
	return "/deliveries/" + d.ID, err
}

// deliveryRow returns a callback as a list row.
func deliveryRow(d *queue.Delivery) web.DeliveryRow {
	row := web.DeliveryRow{
		Href: "/deliveries/" + d.ID, ID: d.ID, Event: d.Event, URL: d.URL, Status: d.Status, JobID: string(d.JobID),
		Attempts: d.AttemptCount, Code: "–", Created: d.CreatedAt.Time,
	}
	if d.LastStatusCode != nil {
		row.Code = strconv.Itoa(*d.LastStatusCode)
	}
	row.Hold = hold(d)
	if d.Status == "pending" && d.NextAttemptAt != nil {
		row.Next = "now"
		if wait := time.Until(d.NextAttemptAt.Time); wait > time.Second {
			row.Next = "in " + web.Took(wait)
		}
	}
	return row
}

// attemptRow returns an attempt with its request and response as sent, except
// for headers that the connection adds.
func attemptRow(d *queue.Delivery, attempt *queue.DeliveryAttempt) web.AttemptRow {
	row := web.AttemptRow{
		Number: attempt.Number, At: attempt.At.Time, Status: "failed", Code: attempt.Code,
		Message: string(attempt.Error),
		Took:    web.Took(milliseconds(attempt.Timing.Total)),
	}
	if attempt.Code == "ok" {
		row.Status = "delivered"
	}
	if attempt.Timing.FirstByte > 0 {
		t := attempt.Timing
		row.Parts = fmt.Sprintf("DNS after %s, connected after %s, TLS after %s, first byte after %s",
			web.Took(milliseconds(t.DNS)), web.Took(milliseconds(t.Connect)), web.Took(milliseconds(t.TLS)),
			web.Took(milliseconds(t.FirstByte)))
	}
	if u, err := url.Parse(d.URL); err == nil {
		row.Request = "POST " + cmp.Or(u.RequestURI(), "/") + " HTTP/1.1\nHost: " + u.Host + "\n" +
			headerText(attempt.Headers.Request) + "\n" + string(d.Body)
	}
	if attempt.StatusCode != nil {
		row.Response = fmt.Sprintf("HTTP/1.1 %d %s\n%s\n%s", *attempt.StatusCode, http.StatusText(*attempt.StatusCode),
			headerText(attempt.Headers.Response), attempt.Response)
	}
	return row
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// headerText returns a header in HTTP/1.1 format.
func headerText(h http.Header) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	return b.String()
}
