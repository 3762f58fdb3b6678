package api_test

import (
	"net/http"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// A user who may run some services is shown these, and runs no other in any way.
func TestAllowedServices(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		before := newFixture(t, db, options{credentials: credentials})
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		old := before.submit(t, "fail", `{"input":{}}`, bob, "Prefer: wait=20")
		credentials.Services = map[string][]string{"bob": {"maths.add"}, "root": {}}
		f := newFixture(t, db, options{credentials: credentials})

		const sum = `{"input":{"a":1,"b":2}`
		site := "Origin: " + f.URL
		for _, tt := range []struct {
			who, method, path, body string
			headers                 []string
			status                  int
		}{
			{who: alice, method: "POST", path: "/v1/services/maths.sub/jobs", body: sum + "}", status: 202},
			{who: bob, method: "POST", path: "/v1/services/maths.add/jobs", body: sum + "}", status: 202},
			{who: bob, method: "GET", path: "/v1/services/maths.add", status: 200},
			{who: bob, method: "GET", path: "/math/1/2", status: 202},
			{who: bob, method: "POST", path: "/v1/services/nothing/jobs", body: "{}", status: 404},

			{who: bob, method: "GET", path: "/v1/services/maths.sub", status: 403},
			{who: bob, method: "POST", path: "/v1/services/maths.sub/jobs", body: sum + "}", status: 403},
			{who: bob, method: "POST", path: "/v1/services/maths.sub/jobs", body: "{", status: 403},
			{who: bob, method: "POST", path: "/v1/services/maths.add/jobs", body: sum + `,"then":[{"service":"maths.sub","input":{"a":1,"b":2}}]}`, status: 403},
			{who: bob, method: "POST", path: "/v1/services/maths.sub/jobs", body: sum + "}", headers: []string{"Accept: text/event-stream"}, status: 403},
			{who: bob, method: "POST", path: "/v1/jobs/" + old.ID + "/retry", status: 403},
			{who: bob, method: "GET", path: "/sleep/1", status: 403},
			{who: bob, method: "GET", path: "/services/maths.sub", status: 403},
			{who: bob, method: "POST", path: "/services/maths.sub", body: "input.a=1&input.b=2", headers: []string{"Content-Type: application/x-www-form-urlencoded", site}, status: 403},
			{who: bob, method: "POST", path: "/jobs/" + old.ID + "/retry", body: "x=y", headers: []string{"Content-Type: application/x-www-form-urlencoded", site}, status: 403},
			{who: "Authorization: Bearer " + keys["root"], method: "GET", path: "/math/1/2", status: 403},
		} {
			a := f.do(t, tt.method, tt.path, tt.body, append(tt.headers, tt.who)...)
			if a.StatusCode != tt.status {
				t.Errorf("%s %s %s: %s %s", tt.method, tt.path, tt.body, a.Status, a.body)
			}
			if tt.status == http.StatusForbidden && !strings.Contains(a.body, "you may not run ") {
				t.Errorf("%s %s is not told why: %s", tt.method, tt.path, a.body)
			}
		}
		list := f.do(t, "GET", "/v1/services", "", bob)
		if strings.Count(list.body, `"input_schema"`) != 1 || !strings.Contains(list.body, "maths.add") {
			t.Errorf("bob is shown %s", list.body)
		}
		if page := f.do(t, "GET", "/", "", bob); page.StatusCode != 200 || strings.Contains(page.body, "/services/maths.sub") || !strings.Contains(page.body, "/services/maths.add") {
			t.Errorf("bob's page is %s %s", page.Status, page.body)
		}
		// A bulk retry leaves out what may not be run.
		bulk := f.do(t, "POST", "/jobs", "do=retry&before=2100-01-01T00:00:00Z", bob, site, "Content-Type: application/x-www-form-urlencoded")
		if bulk.StatusCode != 303 || !strings.Contains(bulk.Header.Get("Location"), "n=0") {
			t.Errorf("bulk retry: %s %v", bulk.Status, bulk.Header)
		}
		jobs := f.do(t, "GET", "/v1/jobs", "", bob)
		if n := strings.Count(jobs.body, `"id":"job_`); n != 3 {
			t.Errorf("bob has %d jobs, want 3: %s", n, jobs.body)
		}
	})
}
