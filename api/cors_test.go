package api_test

import (
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

// A preflight of a token's URL allows the headers that it asks for, and nothing
// that is no header's name.
func TestPreflightAllowsAnyHeader(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`)
	const tracing = "traceparent, tracestate,baggage, sentry-trace, x-datadog-trace-id, content-type, authorization"
	for _, test := range []struct{ asked, want string }{
		{tracing, "traceparent, tracestate, baggage, sentry-trace, x-datadog-trace-id, content-type, authorization"},
		{"x-b3-traceid", "x-b3-traceid"},
		{"", "Last-Event-ID"},
		{"a b", "Last-Event-ID"},
		{"x, <script>", "Last-Event-ID"},
		{", ,", "Last-Event-ID"},
		{strings.Repeat("x", 5000), "Last-Event-ID"},
	} {
		for _, url := range []string{job.StatusURL, job.EventsURL, "/v1/events?job=" + path(job.StatusURL)[len("/v1/jobs/"):]} {
			got := f.do(t, "OPTIONS", url, "", "Origin: https://page.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: "+test.asked)
			if allowed := got.Header.Get("Access-Control-Allow-Headers"); got.StatusCode != 204 || !strings.Contains(allowed, test.want) || strings.ContainsAny(allowed, "<>") || len(allowed) > 1000 {
				t.Errorf("%.20q: %s %q", test.asked, got.Status, allowed)
			}
			if vary := got.Header.Get("Vary"); !strings.Contains(vary, "Access-Control-Request-Headers") {
				t.Errorf("Vary: %s", vary)
			}
		}
	}
	if got := f.do(t, "OPTIONS", "/v1/jobs/"+job.ID, "", "Origin: https://page.example", "Access-Control-Request-Headers: x"); got.Header.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("an id: %v", got.Header)
	}
}
