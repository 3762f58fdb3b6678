package api_test

import (
	"net/http"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

// Repeated values and malformed queries are rejected on all routes, with their
// location; lists that are split are joined.
func TestAmbiguousRequests(t *testing.T) {
	t.Parallel()
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	alice := "Authorization: Bearer " + keys["alice"]
	job := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, alice, "Prefer: wait=20")
	token, etag := "/v1/jobs/"+string(job.Token), f.do(t, "GET", "/v1/jobs/"+job.ID, "", alice).Header.Get("ETag")
	f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"delay":"1h"}`, alice)
	submit, three := "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string // in the body; for 200, how many jobs are listed
	}{
		{"two statuses", "GET", "/v1/jobs?status=scheduled&status=succeeded", "", nil, 200, "2"},
		{"the same status often", "GET", "/v1/jobs?" + strings.Repeat("status=scheduled&", 1000) + "status=scheduled", "", nil, 200, "1"},
		{"statuses in both ways", "GET", "/v1/jobs?status=scheduled,failed&limit=5&status=succeeded", "", nil, 200, "2"},
		{"two statuses and one that there is not", "GET", "/v1/jobs?status=queued&status=nope", "", nil, 422, "query.status"},
		{"two limits", "GET", "/v1/jobs?limit=5&limit=6", "", nil, 422, `"query.limit"`},
		{"two tags", "GET", "/v1/jobs?tag=a&tag=b", "", nil, 422, `"query.tag"`},
		{"the same tag twice", "GET", "/v1/jobs?tag=a&t%61g=a", "", nil, 422, `"query.tag"`},
		{"a lone percent sign", "GET", "/v1/jobs?tag=%", "", nil, 422, `"query.tag"`},
		{"a percent sign at the end", "GET", "/v1/jobs?limit=5&tag=100%", "", nil, 422, `"query.tag"`},
		{"a malformed name", "GET", "/v1/jobs?%zz=1", "", nil, 422, `"query"`},
		{"a semicolon", "GET", "/v1/jobs?tag=a;limit=5", "", nil, 422, `"query.tag"`},
		{"a semicolon in a name", "GET", "/v1/jobs?limit;tag=5", "", nil, 422, `"query"`},
		{"two waits", "GET", token + "?wait=1&wait=2", "", nil, 422, `"query.wait"`},
		{"two waits for a result", "GET", token + "/result?x=%", "", nil, 422, `"query.x"`},
		{"a log", "GET", token + "/log?x=1&x=2", "", nil, 422, `"query.x"`},
		{"two positions", "GET", token + "/events?after=1-0&after=2-0", "", nil, 422, `"query.after"`},
		{"two positions in many", "GET", "/v1/events?job=" + string(job.Token) + "&after=1&after=2", "", nil, 422, `"query.after"`},
		{"two positions in a header", "GET", token + "/events", "", []string{"Last-Event-ID: 1-0", "Last-Event-ID: 2-0"}, 400, "header.Last-Event-Id"},
		{"two forces", "DELETE", "/v1/jobs/" + job.ID + "?force=true&force=false", "", nil, 422, `"query.force"`},
		{"deliveries", "GET", "/v1/deliveries?status=failed&status=pending", "", nil, 422, `"query.status"`},
		{"the page's list", "GET", "/jobs?status=failed&status=queued", "", []string{"Accept: text/html"}, 422, "query.status"},
		{"the page's list, malformed", "GET", "/jobs?q=%", "", []string{"Accept: text/html"}, 422, "query.q"},
		{"the page's form", "POST", "/jobs", "do=cancel&do=retry", []string{"Content-Type: application/x-www-form-urlencoded", "Sec-Fetch-Site: same-origin"}, 422, "body.do"},
		{"the skeleton", "GET", "/sleep/0?x=%", "", []string{"Sec-Fetch-Site: same-origin"}, 422, `"query.x"`},
		{"two entity tags", "GET", "/v1/jobs/" + job.ID, "", []string{`If-None-Match: "x"`, "If-None-Match: " + etag}, 304, ""},
		{"two accepts", "GET", "/v1/jobs", "", []string{"Accept: image/png", "Accept: application/json"}, 200, "2"},
		{"two preferences", "POST", submit, three, []string{"Prefer: respond-async", "Prefer: wait=20"}, 200, ""},
		{"two keys", "POST", submit, three, []string{"Idempotency-Key: a", "Idempotency-Key: a"}, 400, "header.Idempotency-Key"},
		{"two types", "POST", submit, three, []string{"Content-Type: application/json", "Content-Type: text/plain"}, 400, "header.Content-Type"},
		{"two users", "GET", "/v1/jobs", "", []string{"Authorization: Bearer " + keys["bob"]}, 400, "header.Authorization"},
		{"two users of the page", "GET", "/jobs", "", []string{"Authorization: Bearer " + keys["bob"]}, 400, "header.Authorization"},
		{"two origins", "GET", "/sleep/0", "", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"}, 400, "header.Sec-Fetch-Site"},
	} {
		a := f.do(t, test.method, test.path, test.body, append([]string{alice}, test.headers...)...)
		switch {
		case a.StatusCode != test.status:
			t.Errorf("%s: %s, want %d: %s", test.name, a.Status, test.status, a.body)
		case test.status == http.StatusOK && test.method == "GET":
			if n := strings.Count(a.body, `"id":"job_`); string(rune('0'+n)) != test.want {
				t.Errorf("%s: %d jobs, want %s: %s", test.name, n, test.want, a.body)
			}
		case !strings.Contains(a.body, test.want):
			t.Errorf("%s: no %s in %s", test.name, test.want, a.body)
		}
		if strings.HasPrefix(test.path, token) && a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: no CORS header", test.name)
		}
	}
}
