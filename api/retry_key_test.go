package api_test

import (
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// The idempotency key of a retry is the caller's: an admin who retries a job
// uses up no key of its owner's.
func TestRetryKeyBelongsToCaller(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials})
		alice, root, key := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["root"], "Idempotency-Key: k"
		const body = `{"input":{"a":1,"b":2}}`
		old := f.submit(t, "maths.add", body, alice, "Prefer: wait=20")
		retry := func(who string) answer { return f.do(t, "POST", "/v1/jobs/"+old.ID+"/retry", "", who, key) }
		first := retry(root)
		if again := retry(root); first.StatusCode != 202 || again.StatusCode != 202 || again.job(t).ID != first.job(t).ID || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("root: %s, again %s %s", first.Status, again.Status, again.body)
		}
		if got := f.do(t, "GET", "/v1/jobs/"+first.job(t).ID, "", alice); got.StatusCode != 200 {
			t.Errorf("the retry is not alice's: %s", got.Status)
		}
		if got := retry(alice); got.StatusCode != 202 || got.job(t).ID == first.job(t).ID {
			t.Errorf("alice's retry with her own key: %s %s", got.Status, got.body)
		}
		if got := f.do(t, "POST", "/v1/services/maths.add/jobs", body, alice, "Idempotency-Key: other"); got.StatusCode != 202 {
			t.Errorf("alice's key: %s %s", got.Status, got.body)
		}
		if got := f.do(t, "POST", "/v1/services/maths.add/jobs", body, root, key); got.StatusCode != 422 {
			t.Errorf("root's key for something else: %s %s", got.Status, got.body)
		}
	})
}

// An option that is null is left out: the request is the same. In an input it
// is not, because that is the service's.
func TestNullsInReplays(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	send := func(body string) answer {
		return f.do(t, "POST", "/v1/services/maths.add/jobs", body, "Idempotency-Key: k")
	}
	first := send(`{"input":{"a":1,"b":2},"tags":["x"]}`)
	if first.StatusCode != 202 {
		t.Fatalf("%s %s", first.Status, first.body)
	}
	for _, body := range []string{
		`{"tags":["x"],"callback_url":null,"input":{"b":2,"a":1},"delay":null,"metadata":null,"then":null}`,
		` { "input" : { "a" : 1, "b" : 2 } , "tags":["x"] } `,
	} {
		if got := send(body); got.StatusCode != 202 || got.Header.Get("Idempotent-Replayed") != "true" || got.job(t).ID != first.job(t).ID {
			t.Errorf("%s: %s %s", body, got.Status, got.body)
		}
	}
	for _, body := range []string{`{"input":{"a":1,"b":2},"tags":null}`, `{"input":{"a":1,"b":3},"tags":["x"]}`} {
		if got := send(body); got.StatusCode != 422 {
			t.Errorf("%s: %s %s", body, got.Status, got.body)
		}
	}
}

// The repetition of a request whose job was removed makes no second one.
func TestReplayAfterRemoval(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	submit := func() answer {
		return f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`, "Idempotency-Key: k", "Prefer: wait=20")
	}
	job := submit().job(t)
	if got := f.do(t, "DELETE", "/v1/jobs/"+job.ID, ""); got.StatusCode != 204 {
		t.Fatalf("%s %s", got.Status, got.body)
	}
	if got := submit(); got.StatusCode != 410 || !strings.Contains(got.body, "job-removed") {
		t.Errorf("%s %s", got.Status, got.body)
	}
}
