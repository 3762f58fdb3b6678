package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// The overview shows a user their own jobs, and an admin those of all, from all processes.
func TestPageOverview(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials})
		as := func(name string) string { return "Authorization: Bearer " + keys[name] }
		if a := f.do(t, "GET", "/", "", as("alice")); a.StatusCode != 200 || !strings.Contains(a.body, "No jobs yet.") || !strings.Contains(a.body, `href="/services/maths.add">maths.add</a>`) {
			t.Errorf("before the first job: %s %s", a.Status, a.body)
		}
		f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}}`, as("alice"), "Prefer: wait=20")
		failed := f.submit(t, "fail", `{"input": {}}`, as("alice"), "Prefer: wait=20")
		running := f.submit(t, "hold", `{"input": {}}`, as("alice"))
		f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}}`, as("bob"), "Prefer: wait=20")

		const own = "1 succeeded, 1 failed, 0 canceled; at most "
		alices := []string{
			`<a class="card" href="/jobs?status=running"><span class="badge running">running</span><b>1</b></a>`,
			`<a class="card" href="/jobs?status=failed"><span class="badge failed">failed</span><b>1</b></a>`,
			`<a href="/jobs/` + failed.ID + `" title="` + failed.ID + `">fail</a>`, `<code>failed</code>`, "it does not work",
			`<a href="/jobs/` + running.ID + `"`, `<progress max="100" value="40"`, "frame 80/200",
			`<a href="/jobs?service=hold&amp;status=running">1</a>`, `data-label="Failure rate">100%<`,
		}
		until := func(name, query, want string) string {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				a := f.do(t, "GET", "/"+query, "", as(name))
				if strings.Contains(a.body, want) {
					return a.body
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s sees no %q in %s", name, want, a.body)
				}
			}
		}
		until("alice", "", "frame 80/200") // progress is saved after a second
		until("alice", "", own)
		for query, want := range map[string]string{"": "last hour: ", "?range=day": "last day: ", "?range=week": "last week: "} {
			page := until("alice", query, want+own)
			for _, want := range alices {
				if !strings.Contains(page, want) {
					t.Errorf("%s: no %s in %s", query, want, page)
				}
			}
		}
		page := until("bob", "", "1 succeeded, 0 failed, 0 canceled; at most 1 in a minute")
		for _, secret := range []string{failed.ID, running.ID, "it does not work", "frame 80/200", "alice"} {
			if strings.Contains(page, secret) {
				t.Errorf("bob sees %s in %s", secret, page)
			}
		}
		page = until("root", "", "2 succeeded, 1 failed, 0 canceled")
		for _, want := range append(alices, `<span class="soft small">alice</span>`) {
			if !strings.Contains(page, want) {
				t.Errorf("root: no %s in %s", want, page)
			}
		}
	})
}

// The services page was the first page; its links lead to where it is now.
func TestPageServicesMoved(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	if a := f.do(t, "GET", "/services", ""); a.StatusCode != 200 || !strings.Contains(a.body, `<form class="run" method="post" action="/services/`) || !strings.Contains(a.body, `<a href="/services" aria-current="page">`) {
		t.Errorf("/services: %s %s", a.Status, a.body)
	}
	for path, want := range map[string]string{"/?as=json": "/services?as=json", "/?from=job_1": "/services?from=job_1"} {
		if a := f.do(t, "GET", path, ""); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%s: %s to %q, want %q", path, a.Status, a.Header.Get("Location"), want)
		}
	}
}
