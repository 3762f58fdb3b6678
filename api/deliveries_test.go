package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A hook receives callbacks.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	ids    []string
}

func newReceiver(t *testing.T, status int) *receiver {
	t.Helper()
	h := &receiver{status: status}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ids = append(h.ids, r.Header.Get("Webhook-Id"))
		w.WriteHeader(h.status)
		fmt.Fprintf(w, "answer %d", len(h.ids))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *receiver) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *receiver) received() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.ids...)
}

// callbacks lets the server call receivers on this machine, once.
func callbacks(t *testing.T, o options) options {
	t.Helper()
	guard, err := notify.NewGuard(notify.GuardConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	o.queue = func(c *queue.Config) {
		c.Sender, c.Schedule = notify.NewSender(notify.SenderConfig{Guard: guard}), notify.Schedule{0}
		t.Cleanup(c.Sender.Close)
	}
	o.api = func(c *api.Config) { c.Guard = guard }
	return o
}

// until repeats a request until the answer has what is wanted.
func (f *fixture) until(t *testing.T, path, want string, headers ...string) answer {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a := f.do(t, "GET", path, "", headers...)
		if strings.Contains(a.body, want) {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s has no %s", path, a.body, want)
		}
	}
}

func TestDeliveries(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, callbacks(t, options{credentials: credentials}))
		alice, bob, root := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"], "Authorization: Bearer "+keys["root"]
		h := newReceiver(t, 500)
		job := f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+h.URL+`"}`, alice)
		a := f.until(t, "/v1/jobs/"+job.ID+"/deliveries", `"status":"failed"`, alice)
		var list struct{ Data []queue.Delivery }
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || len(list.Data) != 1 {
			t.Fatalf("%v %s", err, a.body)
		}
		d := list.Data[0]
		if d.ID != h.received()[0] || d.Event != "job.succeeded" || string(d.JobID) != job.ID || d.NextAttemptAt != nil || len(d.Attempts) != 1 || *d.Attempts[0].StatusCode != 500 {
			t.Errorf("delivery %+v", d)
		}
		if l := d.Attempts[0]; l.Number != 1 || l.Code != "http_500" || l.Response != "answer 1" || l.Timing.Total <= 0 || l.Timing.FirstByte <= 0 || l.Timing.FirstByte > l.Timing.Total {
			t.Errorf("attempt %+v", l)
		}
		if a := f.do(t, "GET", "/v1/deliveries/"+d.ID, "", alice); a.StatusCode != 200 || !strings.Contains(a.body, `"output":7`) {
			t.Errorf("one: %s %s", a.Status, a.body)
		}
		// Somebody else's deliveries do not exist; the admin sees them.
		for _, path := range []string{"GET /v1/deliveries/" + d.ID, "POST /v1/deliveries/" + d.ID + "/redeliver", "GET /v1/jobs/" + job.ID + "/deliveries", "GET /v1/deliveries/msg_x"} {
			method, path, _ := strings.Cut(path, " ")
			if a := f.do(t, method, path, "", bob); a.StatusCode != 404 {
				t.Errorf("bob: %s %s: %s", method, path, a.Status)
			}
			if a := f.do(t, method, path, ""); a.StatusCode != 401 {
				t.Errorf("nobody: %s %s: %s", method, path, a.Status)
			}
		}
		for header, want := range map[string]int{alice: 1, bob: 0, root: 1} {
			a := f.do(t, "GET", "/v1/deliveries?status=failed", "", header)
			if got := strings.Count(a.body, `"id":"msg_`); got != want {
				t.Errorf("%d deliveries, want %d: %s", got, want, a.body)
			}
		}

		// It is sent again under the same id, alone and with others.
		h.answer(204)
		if a := f.do(t, "POST", "/v1/deliveries/"+d.ID+"/redeliver", "", alice); a.StatusCode != 202 || !strings.Contains(a.body, `"status":"pending"`) {
			t.Errorf("redeliver: %s %s", a.Status, a.body)
		}
		a = f.until(t, "/v1/deliveries/"+d.ID, `"status":"delivered"`, alice)
		if !strings.Contains(a.body, `"number":2,`) || !strings.Contains(a.body, `"status_code":204,"code":"ok","error":null,"duration_ms":`) {
			t.Errorf("delivered: %s", a.body)
		}
		u, err := url.Parse(d.URL)
		if err != nil {
			t.Fatal(err)
		}
		origin := u.Scheme + "://" + u.Host
		for query, found := range map[string]bool{
			"event=job.succeeded": true, "event=job.failed": false, "origin=" + url.QueryEscape(origin): true, "origin=https%3A%2F%2Fexample.com": false,
			"text=" + url.QueryEscape(strings.ToUpper(u.Host)): true, "text=nowhere": false, "event=job.succeeded&status=delivered&text=" + url.QueryEscape(u.Host): true,
		} {
			if a := f.do(t, "GET", "/v1/deliveries?"+query, "", alice); a.StatusCode != 200 || strings.Contains(a.body, d.ID) != found {
				t.Errorf("%s: %s %s", query, a.Status, a.body)
			}
			if a := f.do(t, "GET", "/v1/deliveries?"+query, "", bob); strings.Contains(a.body, d.ID) {
				t.Errorf("bob finds %s: %s", query, a.body)
			}
		}
		if a := f.do(t, "GET", "/v1/deliveries?event=nope", "", alice); a.StatusCode != 422 {
			t.Errorf("%s %s", a.Status, a.body)
		}
		all := func(body, header string) string {
			return f.do(t, "POST", "/v1/deliveries/redeliver", body, header).body
		}
		since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
		if got := all(`{"status": "delivered", "created_after": "`+since+`"}`, bob); got != `{"count":0}`+"\n" {
			t.Errorf("bob sends %s again", got)
		}
		if got := all(`{"status": "failed", "created_after": "`+since+`"}`, alice); got != `{"count":0}`+"\n" {
			t.Errorf("alice sends %s failed ones again", got)
		}
		for _, other := range []string{`"event": "job.failed"`, `"origin": "https://example.com"`} {
			if got := all(`{"status": "delivered", "created_after": "`+since+`", `+other+`}`, alice); got != `{"count":0}`+"\n" {
				t.Errorf("%s: %s are sent again", other, got)
			}
		}
		if got := all(`{"status": "delivered", "created_after": "`+since+`", "event": "job.succeeded", "origin": "`+origin+`"}`, alice); got != `{"count":1}`+"\n" {
			t.Errorf("alice sends %s again", got)
		}
		f.until(t, "/v1/deliveries/"+d.ID, `"number":3,`, alice)
		for _, id := range h.received() {
			if id != d.ID {
				t.Errorf("received %s, want %s", id, d.ID)
			}
		}
		if a := f.do(t, "POST", "/v1/deliveries/redeliver", `{}`, alice); a.StatusCode != 422 {
			t.Errorf("redeliver what: %s %s", a.Status, a.body)
		}

		// What belongs to a job goes with it.
		if a := f.do(t, "DELETE", "/v1/jobs/"+job.ID, "", alice); a.StatusCode != 204 {
			t.Errorf("delete: %s", a.Status)
		}
		if a := f.do(t, "GET", "/v1/deliveries/"+d.ID, "", alice); a.StatusCode != 404 {
			t.Errorf("after the job: %s %s", a.Status, a.body)
		}
	})
}

func TestDeliveryPages(t *testing.T) {
	db := jobstest.SQLite(t)
	f := newFixture(t, db, callbacks(t, options{}))
	h := newReceiver(t, 204)
	for range 5 {
		f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+h.URL+`", "callback_events": ["job.started", "job.succeeded"]}`, "Prefer: wait=20")
	}
	seen := make(map[string]bool)
	for path := "/v1/deliveries?limit=3"; path != ""; {
		var page struct {
			Data       []queue.Delivery
			NextCursor *string `json:"next_cursor"`
		}
		a := f.do(t, "GET", path, "")
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || len(page.Data) > 3 {
			t.Fatalf("%v %s", err, a.body)
		}
		path = ""
		if page.NextCursor != nil {
			path = "/v1/deliveries?limit=3&cursor=" + *page.NextCursor
			if link := a.Header.Get("Link"); !strings.Contains(link, *page.NextCursor) {
				t.Errorf("Link: %s", link)
			}
		}
		for _, d := range page.Data {
			if seen[d.ID] {
				t.Errorf("%s is there twice", d.ID)
			}
			seen[d.ID] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d deliveries", len(seen))
	}
	if a := f.do(t, "GET", "/v1/deliveries?cursor=x", ""); a.StatusCode != 422 && a.StatusCode != 400 {
		t.Errorf("made-up cursor: %s", a.Status)
	}
}

func TestCallbackTest(t *testing.T) {
	db := jobstest.SQLite(t)
	f := newFixture(t, db, callbacks(t, options{}))
	h := newReceiver(t, 500)
	a := f.do(t, "POST", "/v1/callbacks/test", `{"url": "`+h.URL+`/hook"}`)
	var d queue.Delivery
	if err := json.Unmarshal([]byte(a.body), &d); err != nil || a.StatusCode != 202 || d.Event != "callback.test" {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	f.until(t, "/v1/deliveries/"+d.ID, `"status":"failed"`)
	if a := f.do(t, "POST", "/v1/callbacks/test", `{"url": "http://user@`+h.Listener.Addr().String()+`/"}`); a.StatusCode != 422 || !strings.Contains(a.body, `"location":"body.url"`) {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

func TestCallbackKeys(t *testing.T) {
	db := jobstest.SQLite(t)
	credentials, apiKeys := aliceAndBob(t)
	f := newFixture(t, db, options{credentials: credentials})
	alice, bob := "Authorization: Bearer "+apiKeys["alice"], "Authorization: Bearer "+apiKeys["bob"]
	create := func(path, body string) (key struct{ ID, Secret string }) {
		t.Helper()
		a := f.do(t, "POST", path, body, alice)
		if err := json.Unmarshal([]byte(a.body), &key); err != nil || a.StatusCode != 201 || !strings.HasPrefix(key.Secret, "whsec_") || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %v %s", a.Status, a.Header, a.body)
		}
		return key
	}
	first := create("/v1/callback-keys", "")
	list := f.do(t, "GET", "/v1/callback-keys", "", alice)
	if strings.Contains(list.body, "whsec_") || !strings.Contains(list.body, first.ID) || !strings.Contains(list.body, "whpk_") {
		t.Errorf("list: %s", list.body)
	}
	if a := f.do(t, "GET", "/v1/callback-keys", "", bob); strings.Contains(a.body, first.ID) {
		t.Errorf("bob's list: %s", a.body)
	}
	second := create("/v1/callback-keys/rotate", `{"grace": "1h"}`)
	if a := f.do(t, "POST", "/v1/callback-keys/rotate", `{"grace": "721h"}`, alice); a.StatusCode != 422 {
		t.Errorf("too long a grace: %s", a.Status)
	}
	for header, want := range map[string]int{bob: 404, alice: 204} {
		if a := f.do(t, "DELETE", "/v1/callback-keys/"+second.ID, "", header); a.StatusCode != want {
			t.Errorf("revoke: %s, want %d", a.Status, want)
		}
	}
	for range keys.Max - 1 {
		create("/v1/callback-keys", "")
	}
	if a := f.do(t, "POST", "/v1/callback-keys", "", alice); a.StatusCode != 409 || !strings.Contains(a.body, "too-many-keys") {
		t.Errorf("one too many: %s %s", a.Status, a.body)
	}
	if strings.Contains(f.log.String(), "whsec_") {
		t.Error("the log has a secret")
	}
}

// A delivery to a host on hold has the time when the hold ends; a test of the same host is sent at once.
func TestHeldUntil(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, callbacks(t, options{credentials: credentials}))
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		h := newReceiver(t, 500)
		body := `{"input": {"a": 3, "b": 4}, "callback_url": "` + h.URL + `"}`
		for range 5 { // failures in a row
			job := f.submit(t, "maths.add", body, alice)
			f.until(t, "/v1/jobs/"+job.ID+"/deliveries", `"status":"failed","created_at":`, alice)
		}
		h.answer(204)
		job := f.submit(t, "maths.add", body, alice)
		path := "/v1/jobs/" + job.ID + "/deliveries"
		f.until(t, path, `"held_until":"2`, alice)
		for _, page := range []string{"/deliveries", "/jobs/" + job.ID, "/system"} {
			if a := f.do(t, "GET", page, "", alice); !strings.Contains(a.body, "its attempts failed repeatedly") {
				t.Errorf("%s does not show the hold: %s", page, a.body)
			}
		}
		if a := f.do(t, "GET", "/system", "", bob); strings.Contains(a.body, h.URL) {
			t.Errorf("bob sees the hold: %s", a.body)
		}
		var test queue.Delivery
		a := f.do(t, "POST", "/v1/callbacks/test", `{"url": "`+h.URL+`"}`, alice)
		if err := json.Unmarshal([]byte(a.body), &test); err != nil {
			t.Fatalf("%v: %s %s", err, a.Status, a.body)
		}
		f.until(t, "/v1/deliveries/"+test.ID, `"status":"delivered"`, alice)
		if a := f.do(t, "GET", path, "", alice); !strings.Contains(a.body, `"held_until":"2`) || !strings.Contains(a.body, `"attempts":[]`) {
			t.Errorf("after the test: %s", a.body)
		}
	})
}
