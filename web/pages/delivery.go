package pages

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs/queue"
	"coatcheck/web"
)

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
	if n := len(v.Attempts); n > 0 {
		v.Attempts[n-1].Open = true
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
