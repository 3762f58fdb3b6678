package api_test

import (
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

// The idempotency key of a retry is the caller's: an admin who retries a job
// uses up no key of its owner's.
func TestRetryKeyIsTheCallers(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *jobs.Database) {
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
