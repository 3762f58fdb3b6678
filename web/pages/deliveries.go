package pages

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"coatcheck/api/problem"
	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// deliveriesPage lists callbacks, newest first.
func (a *Pages) deliveriesPage(r *http.Request) (string, any, error) {
	ctx, values, now := r.Context(), r.URL.Query(), time.Now()
	f, err := deliveryFilterOf(values)
	if err != nil {
		return "", nil, err
	}
	owner, query := a.OwnerFilter(ctx), f.query()
	v := web.DeliveriesPage{
		Page: a.pageFrame(ctx, "Callbacks", "/deliveries"), Done: notice(values), Searched: web.Count(queue.MaxSearched),
		Status: f.status, Event: f.event, URL: f.url, Host: f.host, JobID: f.job, Since: f.since,
		Events: deliveryEvents, Filtered: len(query) > 0, Hidden: hiddenFields(query), List: href("/deliveries", query),
		Owners: owner == "" && !a.Auth.Open(),
	}
	if f.host != "" {
		v.AnyHost = href("/deliveries", without(query, "host"))
	}
	if f.status == "" || f.status == "failed" {
		v.RedeliverAll = href("/deliveries", query, "status", "failed", "do", "redeliver")
	}
	if v.Tabs, err = a.deliveryTabs(ctx, f, owner); err != nil {
		return "", nil, err
	}
	cursor, do := values.Get("cursor"), values.Get("do")
	if err := a.addDeliveries(ctx, &v, f, owner, cursor, now); err != nil {
		return "", nil, err
	}
	switch {
	case do != "":
		v.Bulk, err = a.confirmRedelivery(ctx, do, f, owner, now, values.Has("selected"))
	case cursor == "":
		v.Refresh = listRefresh
		v.Receivers, v.ReceiverCount, err = a.receivers(ctx, owner)
	}
	return "deliveries", v, err
}

// addDeliveries adds a page of the list to the view.
func (a *Pages) addDeliveries(
	ctx context.Context, v *web.DeliveriesPage, f deliveryFilter, owner, cursor string, now time.Time,
) (err error) {
	query := f.query()
	f.ids = nil // the list shows the others too
	filter := f.filter(owner, now)
	filter.Limit, filter.WithoutAttempts = pageLimit+1, true
	if filter.Before, err = a.OpenCursor(cursor, "deliveries page", query); err != nil {
		return err
	}
	found, err := a.Queue.Deliveries(ctx, filter)
	if err != nil {
		return err
	}
	if len(found) > pageLimit {
		found = found[:pageLimit]
		v.Older = href("/deliveries", query, "cursor", a.SealCursor(found[pageLimit-1].ID, "deliveries page", query))
	}
	if cursor != "" {
		v.Newer = v.List
	}
	for i := range found {
		v.Deliveries = append(v.Deliveries, deliveryRow(&found[i]))
	}
	return nil
}

// deliveryTabs returns a tab for each status, which keeps the rest of the filter. Numbers are of all
// callbacks, so they are shown without another filter only. Those that were delivered are too many
// to count.
func (a *Pages) deliveryTabs(ctx context.Context, f deliveryFilter, owner string) ([]web.Tab, error) {
	query := without(f.query(), "status")
	var counts map[string]int64
	if len(query) == 0 {
		var err error
		if counts, err = a.Queue.CountUndelivered(ctx, owner, maxTabCount); err != nil {
			return nil, err
		}
	}
	tabs := []web.Tab{{Name: "all", Href: href("/deliveries", query), Here: f.status == ""}}
	for _, status := range deliveryStatuses {
		tabs = append(tabs, web.Tab{
			Name: status, Href: href("/deliveries", query, "status", status), Here: f.status == status,
			Count: tabCount(counts[status]),
		})
	}
	return tabs, nil
}

// confirmRedelivery returns the confirmation for sending all failed callbacks that match again, or
// those that were selected, with their number.
func (a *Pages) confirmRedelivery(
	ctx context.Context, do string, f deliveryFilter, owner string, now time.Time, selected bool,
) (*web.Bulk, error) {
	if do != "redeliver" {
		return nil, problem.New("bad-request", "expected redeliver")
	}
	b := &web.Bulk{Verb: do, Most: queue.MaxRedeliveries, IDs: f.ids, Before: now.UTC().Format(time.RFC3339Nano)}
	if selected && len(f.ids) == 0 {
		b.Question = "No callbacks are selected."
		return b, nil
	}
	kind := ""
	if !selected {
		kind = "failed "
	}
	filter := f.redelivery(owner, now)
	n, err := a.Queue.CountDeliveries(ctx, filter)
	b.Count = min(n, queue.MaxRedeliveries)
	b.Question = fmt.Sprintf("Redeliver %s %scallbacks?", web.Count(int64(n)), kind)
	switch {
	case n == 0 && len(without(f.query(), "status")) > 0:
		b.Question = "There are no matching " + kind + "callbacks."
	case n == 0:
		b.Question = "There are no " + kind + "callbacks."
	case n == 1:
		b.Question = "Redeliver 1 " + kind + "callback?"
	case n > queue.MaxRedeliveries:
		b.Note = fmt.Sprintf("At most %s callbacks are sent at once, newest first. Repeat the action for the rest.",
			web.Count(queue.MaxRedeliveries))
	}
	return b, err
}

// redeliverAllAction sends the selected callbacks again, or all failed ones that match the filter.
func (a *Pages) redeliverAllAction(r *http.Request) (string, error) {
	f, err := deliveryFilterOf(r.PostForm)
	if err != nil {
		return "", err
	}
	before, err := time.Parse(time.RFC3339Nano, r.PostForm.Get("before"))
	if err != nil {
		return "", problem.New("bad-request", "the form has no valid time of confirmation")
	}
	n, err := a.Queue.RedeliverAll(r.Context(), f.redelivery(a.OwnerFilter(r.Context()), before))
	return href("/deliveries", without(f.query(), "status"), "did", "redeliver", "n", strconv.Itoa(n)), err
}

// hiddenFields returns a query as hidden form fields.
func hiddenFields(query url.Values) (fields []web.Field) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		fields = append(fields, web.Field{Name: name, Value: query.Get(name)})
	}
	return fields
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
