package api_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// hidden returns the hidden fields of a page's form that sends callbacks again.
func hidden(page string) url.Values {
	_, form, _ := strings.Cut(page, `<form method="post" action="/deliveries"`)
	form, _, _ = strings.Cut(form, "</form>")
	fields := make(url.Values)
	field := regexp.MustCompile(`type="hidden" name="([a-z]+)" value="([^"]*)"`)
	for _, m := range field.FindAllStringSubmatch(form, -1) {
		fields.Add(m[1], html.UnescapeString(m[2]))
	}
	return fields
}

var selectable = regexp.MustCompile(`type="checkbox" name="id" value="(msg_[0-9a-z]+)"`)

// listed returns the ids of the callbacks on a page, oldest first.
func listed(page string) (ids []string) {
	for _, m := range selectable.FindAllStringSubmatch(page, -1) {
		ids = append(ids, m[1])
	}
	slices.Reverse(ids)
	return ids
}

// The list of callbacks is filtered by event, URL, host, job, time and status; what a user selects
// is sent again, whatever its status is, and nothing of others.
func TestPageDeliveries(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, callbacks(t, options{credentials: credentials}))
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		root := "Authorization: Bearer " + keys["root"]
		good, bad := newReceiver(t, http.StatusNoContent), newReceiver(t, http.StatusInternalServerError)
		send := func(receiver, events, key string) string {
			t.Helper()
			return f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+
				`", "callback_events": [`+events+`]}`, key, "Prefer: wait=20").ID
		}
		send(good.URL+"/Hooks_1?a=b", `"job.succeeded"`, alice)
		other := send(bad.URL+"/hooks-2", `"job.started", "job.succeeded"`, alice)
		send(good.URL+"/bob", `"job.succeeded"`, bob)
		f.until(t, "/deliveries?status=delivered", "Hooks_1", alice)
		f.until(t, "/v1/jobs/"+other+"/deliveries", `"status":"failed"`, alice)
		all := listed(f.until(t, "/deliveries", `>failed <span class="soft small">2</span>`, alice).body)
		if len(all) != 3 {
			t.Fatalf("alice has %v", all)
		}
		if got := listed(f.do(t, "GET", "/deliveries", "", root).body); len(got) != 4 {
			t.Errorf("an admin sees %v", got)
		}
		for query, want := range map[string][]string{
			"": all, "status=failed": all[1:], "status=delivered": all[:1], "status=pending": nil,
			"event=job.started": all[1:2], "event=job.failed": nil, "url=hooks_": all[:1],
			"url=HOOKS": all, "url=hooks%25": nil, "url=/bob": nil,
			"host=" + url.QueryEscape(bad.URL): all[1:], "host=" + url.QueryEscape(bad.URL[:len(bad.URL)-1]): nil,
			"job=" + other: all[1:], "job=" + other + "&event=job.succeeded": all[2:], "since=1h": all, "since=1ns": nil,
		} {
			if got := listed(f.do(t, "GET", "/deliveries?"+query, "", alice).body); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
		}
		for query, want := range map[string]string{
			"event=nope": "expected one of job.started", "since=-1h": "expected a duration", "url=%00": "without NUL",
			"do=explode": "expected redeliver", "status=a&status=b": "expected one value",
			"id=" + strings.Repeat("x&id=", 50): "at most 50",
		} {
			a := f.do(t, "GET", "/deliveries?"+query, "", alice, "Accept: text/html")
			if a.StatusCode/100 != 4 || !strings.Contains(a.body, want) {
				t.Errorf("%s: %s, no %q in %s", query, a.Status, want, a.body)
			}
		}

		a := f.do(t, "GET", "/deliveries?selected=1&do=redeliver", "", alice)
		if !strings.Contains(a.body, "No callbacks are selected.") {
			t.Errorf("nothing selected: %s", a.body)
		}
		bobs := listed(f.do(t, "GET", "/deliveries", "", bob).body)
		ids := "&id=" + all[0] + "&id=" + all[2] + "&id=" + bobs[0]
		question := f.do(t, "GET", "/deliveries?url=hooks&selected=1&do=redeliver"+ids, "", alice).body
		if !strings.Contains(question, "Redeliver 2 callbacks?") {
			t.Errorf("selected: %s", question)
		}
		bad.answer(http.StatusNoContent)
		a = f.post(t, "/deliveries", hidden(question), alice)
		if to := a.Header.Get("Location"); to != "/deliveries?did=redeliver&n=2&url=hooks" {
			t.Errorf("selected: %s to %s", a.Status, to)
		}
		f.until(t, "/v1/deliveries/"+all[0], `"number":2,`, alice)
		f.until(t, "/v1/deliveries/"+all[2], `"status":"delivered"`, alice)
		if a := f.do(t, "GET", "/v1/deliveries/"+bobs[0], "", bob); strings.Contains(a.body, `"number":2,`) {
			t.Errorf("alice sent bob's callback again: %s", a.body)
		}
		host := url.QueryEscape(good.URL)
		question = f.do(t, "GET", "/deliveries?host="+host+"&status=failed&do=redeliver", "", alice).body
		if !strings.Contains(question, "There are no matching failed callbacks.") {
			t.Errorf("all failed to the good host: %s", question)
		}
		question = f.do(t, "GET", "/deliveries?event=job.started&do=redeliver", "", alice).body
		a = f.post(t, "/deliveries", hidden(question), alice)
		if a.Header.Get("Location") != "/deliveries?did=redeliver&event=job.started&n=1" {
			t.Errorf("all failed: %s %v", a.Status, a.Header)
		}
		f.until(t, "/v1/deliveries/"+all[1], `"status":"delivered"`, alice)
		if a := f.post(t, "/deliveries", nil, alice); a.StatusCode != http.StatusBadRequest {
			t.Errorf("without a confirmation: %s", a.Status)
		}
	})
}

// The page shows how each host is doing, and the newest attempt of a callback is open.
func TestPageReceivers(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, callbacks(t, options{credentials: credentials}))
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		root := "Authorization: Bearer " + keys["root"]
		h := newReceiver(t, http.StatusNoContent)
		body := `{"input": {"a": 3, "b": 4}, "callback_url": "` + h.URL + `/x"}`
		deliver := func(status int, want string) {
			t.Helper()
			h.answer(status)
			job := f.submit(t, "maths.add", body, alice)
			f.until(t, "/v1/jobs/"+job.ID+"/deliveries", want, alice)
		}
		deliver(http.StatusNoContent, `"status":"delivered"`)
		f.do(t, "POST", "/v1/callbacks/test", `{"url": "`+h.URL+`"}`, alice)
		for range 5 {
			deliver(http.StatusInternalServerError, `"status":"failed"`)
		}
		deliver(http.StatusNoContent, `"held_until":"2`)
		card := func(key string) string {
			t.Helper()
			_, card, _ := strings.Cut(f.do(t, "GET", "/deliveries", "", key).body, `<div id="receivers"`)
			card, _, _ = strings.Cut(card, "</div><nav")
			card, _, _ = strings.Cut(card, "</table>")
			return regexp.MustCompile(`<[^>]*>|\s+`).ReplaceAllString(card, " ")
		}
		want := regexp.MustCompile(regexp.QuoteMeta(h.URL) +
			` +16% +1 +5 +1 +500 +until .* its attempts failed repeatedly`)
		if got := card(alice); !want.MatchString(got) || strings.Count(got, h.URL) != 1 { // the test is no callback
			t.Errorf("alice: %s", got)
		}
		if got := card(bob); strings.Contains(got, h.URL) {
			t.Errorf("bob: %s", got)
		}
		if got := card(root); !strings.Contains(got, h.URL+"   alice  16%") {
			t.Errorf("root: %s", got)
		}
		list := "/deliveries?host=" + url.QueryEscape(h.URL)
		if page := f.do(t, "GET", "/deliveries", "", alice).body; !strings.Contains(page, `href="`+list+`"`) {
			t.Errorf("no link to the host's callbacks: %s", page)
		}
		if got := listed(f.do(t, "GET", list, "", alice).body); len(got) != 8 {
			t.Errorf("%d callbacks to the host, want 8 with the test", len(got))
		}

		id := listed(f.do(t, "GET", "/deliveries?status=failed", "", alice).body)[0]
		if _, err := f.queue.Redeliver(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.ExecContext(t.Context(), `DELETE FROM destinations`); err != nil {
			t.Fatal(err)
		}
		page := f.until(t, "/deliveries/"+id, "Attempt 2", alice).body
		if !strings.Contains(page, "<details open><summary>Attempt 2") ||
			!strings.Contains(page, "<details><summary>Attempt 1") {
			t.Errorf("attempts: %s", page)
		}
	})
}

// The page lists the newest first, and its filter stays in the pager.
func TestPageDeliveriesPager(t *testing.T) {
	db := jobstest.SQLite(t)
	f := newFixture(t, db, options{queue: func(c *queue.Config) { c.Workers = 0 }})
	if _, err := db.Write.ExecContext(t.Context(), `INSERT INTO deliveries
		(id, job_id, owner, event, url, origin, body, status, created_at)
		SELECT 'msg_' || (1000 + n), '', 'local', CASE WHEN n % 2 = 0 THEN 'job.failed' ELSE 'job.expired' END,
			'https://a.example/' || n, 'https://a.example', x'7b7d', 'failed', 0
		FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 120)
			SELECT n FROM numbers)`); err != nil {
		t.Fatal(err)
	}
	first := f.do(t, "GET", "/deliveries?event=job.failed&url=a.example", "").body
	next := regexp.MustCompile(`href="(/deliveries\?cursor=[^"]*)" rel="next"`).FindStringSubmatch(first)
	if next == nil || !strings.Contains(next[1], "event=job.failed") {
		t.Fatalf("no next page in %s", first)
	}
	second := f.do(t, "GET", html.UnescapeString(next[1]), "").body
	got := append(listed(second), listed(first)...)
	if len(got) != 60 || !slices.IsSorted(got) || len(slices.Compact(got)) != 60 {
		t.Errorf("pages list %d: %v", len(got), got)
	}
}
