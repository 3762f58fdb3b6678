package api_test

import (
	"net/http"
	"strings"
	"testing"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
)

// The skeleton's routes that start work by GET start nothing for another site,
// for a HEAD or for a browser that fetches in advance.
func TestSkeletonRefusesCrossSiteRequests(t *testing.T) {
	t.Parallel()
	credentials, keys := aliceAndBob(t)
	closed := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { c.Hosts = []string{"jobs.test"} }})
	open := newFixture(t, jobstest.SQLite(t), options{})
	alice, cookie := "Authorization: Bearer "+keys["alice"], closed.signIn(t, "alice", keys["alice"])
	const browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140"
	for _, test := range []struct {
		name    string
		f       *fixture
		method  string
		headers []string
		status  int
	}{
		{"program with a key", closed, "GET", []string{alice}, 202},
		{"program without users", open, "GET", nil, 202},
		{"address bar without users", open, "GET", []string{browser, "Sec-Fetch-Site: none"}, 202},
		{"session", closed, "GET", []string{cookie}, 401},
		{"session from the address bar", closed, "GET", []string{cookie, browser, "Sec-Fetch-Site: none"}, 401},
		{"navigation over http", closed, "GET", []string{cookie, browser, "Host: jobs.test"}, 403},
		{"navigation over http with remembered credentials", closed, "GET", []string{alice, browser, "Host: jobs.test"}, 403},
		{"navigation without users", open, "GET", []string{browser}, 403},
		{"link of this server over http", closed, "GET", []string{alice, browser, "Host: jobs.test", "Referer: http://jobs.test/"}, 202},
		{"link of another site over http", closed, "GET", []string{alice, browser, "Host: jobs.test", "Referer: http://evil.example/"}, 403},
		{"cross-site", open, "GET", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"same-site", open, "GET", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"origin", open, "GET", []string{"Origin: https://evil.example"}, 403},
		{"opaque origin", open, "GET", []string{"Origin: null"}, 403},
		{"prefetch", open, "GET", []string{"Sec-Fetch-Site: none", "Sec-Purpose: prefetch;prerender"}, 403},
		{"old prefetch", open, "GET", []string{"Purpose: prefetch"}, 403},
		{"head", open, "HEAD", nil, 405},
		{"head with a key", closed, "HEAD", []string{alice}, 405},
	} {
		for _, path := range []string{"/sleep/0", "/math/1/2"} {
			before := strings.Count(test.f.do(t, "GET", "/v1/jobs?limit=200", "", alice).body, `"id":`)
			got := test.f.do(t, test.method, path, "", test.headers...)
			after := strings.Count(test.f.do(t, "GET", "/v1/jobs?limit=200", "", alice).body, `"id":`)
			if got.StatusCode != test.status || (after > before) != (test.status == 202) {
				t.Errorf("%s: %s %s: %s, want %d; %d jobs, then %d", test.name, test.method, path, got.Status, test.status, before, after)
			}
			if allow := got.Header.Get("Allow"); got.StatusCode == 405 && (allow == "" || strings.Contains(allow, http.MethodHead)) {
				t.Errorf("%s: Allow: %q", test.name, allow)
			}
		}
	}
	if got := open.do(t, "POST", "/sleep/0", ""); got.StatusCode != 405 || got.Header.Get("Allow") != "GET" {
		t.Errorf("POST: %s, Allow: %s", got.Status, got.Header.Get("Allow"))
	}
	if got := closed.do(t, "GET", "/tasks/nope", "", cookie); got.StatusCode != 404 {
		t.Errorf("a task with a session: %s", got.Status)
	}
}
