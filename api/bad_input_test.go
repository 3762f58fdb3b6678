package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"coatcheck/api/problem"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

func (a answer) problem(t testing.TB) problem.Problem {
	t.Helper()
	var p problem.Problem
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type = %q, body %s", ct, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return p
}

// Each mistake gets an answer that says what is wrong, where, and what would
// be right; none leaves a job behind.
func TestBadInput(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials})
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		theirs := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, bob, "Prefer: wait=20")
		add := func(rest string) string { return `{"input":{"a":1,"b":2}` + rest + `}` }
		tests := []struct {
			name    string
			method  string // default POST
			path    string // default that of maths.add
			body    string
			headers []string
			status  int
			code    string
			want    []string // all in the body
		}{
			{name: "broken JSON", body: `{"input":`, status: 400, code: "bad-request", want: []string{"unexpected end"}},
			{name: "JSON with more after it", body: add("") + "{}", status: 400, code: "bad-request", want: []string{"unexpected data after the end"}},
			{name: "empty body", body: "", status: 400, code: "bad-request", want: []string{"body"}},
			{name: "array", body: "[]", status: 422, code: "invalid-input", want: []string{`"location":"body"`, "expected an object, not a list"}},
			{name: "no input", body: "{}", status: 422, code: "invalid-input", want: []string{`"location":"body.input","message":"this is required"`}},
			{name: "unknown field", body: add(`,"callbackurl":"x"`), status: 422, code: "invalid-input", want: []string{"body.callbackurl", "unexpected property"}},
			{name: "unknown field of input", body: `{"input":{"a":1,"b":2,"c":3}}`, status: 422, code: "invalid-input", want: []string{"body.input.c", "unexpected property"}},
			{name: "other case", body: `{"input":{"A":1,"b":2}}`, status: 422, code: "invalid-input", want: []string{"body.input.A", `"body.input.a","message":"this is required"`}},
			{name: "wrong type", body: `{"input":{"a":"1","b":2}}`, status: 422, code: "invalid-input", want: []string{"body.input.a", "expected a number, not a text"}},
			{
				name: "many mistakes at once", body: `{"input":{"a":"1"},"priority":9,"delay":"soon","callback_url":"ftp://x","then":[{"service":"nope","input":{}},{"service":"maths.add","input":{"a":"x","b":{"$output":""}}}]}`,
				status: 422, code: "invalid-input",
				want: []string{"7 errors", "body.input.a", `"body.input.b","message":"this is required"`, "body.priority", "body.delay", "body.callback_url", "body.then[0].service", "body.then[1].input.a"},
			},
			{name: "what is null but needed", body: `{"input":{"a":null,"b":2},"priority":null,"metadata":null}`, status: 422, code: "invalid-input", want: []string{"request is invalid", "body.input.a", "expected a number, not null"}},
			{name: "unknown service", path: "/v1/services/nope/jobs", body: add(""), status: 404, code: "not-found", want: []string{"no such service"}},
			{name: "2 MiB", body: add(`,"callback_state":"` + strings.Repeat("x", 2<<20) + `"`), status: 413, code: "payload-too-large", want: []string{"too large"}},
			{name: "wrong content type", body: add(""), headers: []string{"Content-Type: text/plain"}, status: 415, code: "unsupported-media-type", want: []string{"application/json"}},
			{name: "no content type", body: add(""), headers: []string{"Content-Type: "}, status: 415, code: "unsupported-media-type"},
			{name: "nothing that is accepted", body: add(""), headers: []string{"Accept: image/png"}, status: 406, code: "not-acceptable"},
			{name: "foreign job", method: "GET", path: "/v1/jobs/" + theirs.ID, status: 404, code: "not-found"},
			{name: "foreign job's token to cancel", path: "/v1/jobs/" + string(theirs.Token) + "/cancel", status: 404, code: "not-found"},
			{name: "foreign job to delete", method: "DELETE", path: "/v1/jobs/" + theirs.ID, status: 404, code: "not-found"},
			{name: "unknown job", method: "GET", path: "/v1/jobs/job_06h0ng0pt1r893pw40s24ftxcr", status: 404, code: "not-found"},
			{name: "no id", method: "GET", path: "/v1/jobs/1", status: 404, code: "not-found"},
			{name: "forged token", method: "GET", path: "/v1/jobs/" + tamperedToken(string(theirs.Token)), status: 404, code: "not-found"},
			{name: "forged token's events", method: "GET", path: "/v1/jobs/" + theirs.ID + ".0/events", status: 404, code: "not-found"},
			{name: "key without a closing quote", body: add(""), headers: []string{`Idempotency-Key: "x`}, status: 400, code: "bad-request", want: []string{"header.Idempotency-Key", "quote"}},
			{name: "key too long", body: add(""), headers: []string{"Idempotency-Key: " + strings.Repeat("x", 256)}, status: 400, code: "bad-request", want: []string{"1 to 255"}},
			{name: "two keys", body: add(""), headers: []string{"Idempotency-Key: x", "Idempotency-Key: y"}, status: 400, code: "bad-request", want: []string{"once"}},
			{name: "empty key", body: add(""), headers: []string{`Idempotency-Key: ""`}, status: 400, code: "bad-request"},
			{name: "callback to a private address", body: add(`,"callback_url":"https://10.0.0.1/x"`), status: 422, code: "invalid-callback-url", want: []string{"private"}},
			{name: "callback to metadata", body: add(`,"callback_url":"https://169.254.169.254/x"`), status: 422, code: "invalid-callback-url"},
			{name: "callback over http", body: add(`,"callback_url":"http://example.com/x"`), status: 422, code: "invalid-callback-url", want: []string{"https"}},
			{name: "javascript URL", body: add(`,"callback_url":"javascript:alert(1)"`), status: 422, code: "invalid-callback-url", want: []string{"absolute URL"}},
			{name: "unknown callback event", body: add(`,"callback_url":"https://example.com","callback_events":["job.done"]`), status: 422, code: "invalid-input", want: []string{"body.callback_events[0]"}},
			{name: "negative number", path: "/v1/services/sleep/jobs", body: `{"input":{"seconds":-1}}`, status: 422, code: "invalid-input", want: []string{"body.input.seconds", "at least 0"}},
			{name: "huge number", path: "/v1/services/sleep/jobs", body: `{"input":{"seconds":1e300}}`, status: 422, code: "invalid-input", want: []string{"at most 3600"}},
			{name: "number beyond all floats", path: "/v1/services/sleep/jobs", body: `{"input":{"seconds":1e999}}`, status: 422, code: "invalid-input", want: []string{"body.input.seconds", "at most 3600"}},
			{name: "number that nobody can reckon with", body: `{"input":{"a":1e1000001,"b":2}}`, status: 422, code: "invalid-input", want: []string{"body.input.a", "exponent"}},
			{name: "name that comes twice", body: `{"input":{"a":1,"b":2,"a":3}}`, status: 400, code: "bad-request", want: []string{"duplicate", "body.input.a"}},
			{name: "half of a surrogate pair", path: "/v1/services/sleep/jobs", body: `{"input":{"seconds":0,"name":"\ud800"}}`, status: 400, code: "bad-request", want: []string{"surrogate"}},
			{name: "nested too deep", body: add(`,"metadata":{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`), status: 400, code: "bad-request", want: []string{"nested deeper than 100"}},
			{name: "huge timeout", body: add(`,"timeout":"9999h"`), status: 422, code: "invalid-input", want: []string{"body.timeout", "24h0m0s"}},
			{name: "start_within the delay", body: add(`,"delay":"1h","start_within":"30m"`), status: 422, code: "invalid-input", want: []string{"body.start_within"}},
			{name: "negative delay", body: add(`,"delay":"-5s"`), status: 422, code: "invalid-input", want: []string{"body.delay", "above zero"}},
			{name: "fraction of an attempt", body: add(`,"max_attempts":1.5`), status: 422, code: "invalid-input", want: []string{"body.max_attempts", "a whole number"}},
			{name: "delay and run_at", body: add(`,"delay":"5s","run_at":"2030-01-01T00:00:00Z"`), status: 422, code: "invalid-input", want: []string{"body.run_at"}},
			{name: "no time", body: add(`,"run_at":"tomorrow"`), status: 422, code: "invalid-input", want: []string{"body.run_at", "a time such as"}},
			{name: "NUL in a string", path: "/v1/services/sleep/jobs", body: `{"input":{"seconds":0,"name":"a\u0000b"}}`, status: 422, code: "invalid-input", want: []string{"body.input.name", "NUL"}},
			{name: "NUL in a tag", body: add(`,"tags":["a\u0000"]`), status: 422, code: "invalid-input", want: []string{"body.tags[0]", "NUL"}},
			{name: "invalid UTF-8", path: "/v1/services/sleep/jobs", body: "{\"input\":{\"seconds\":0,\"name\":\"\xff\"}}", status: 400, code: "bad-request", want: []string{"UTF-8"}},
			{name: "metadata that is no object", body: add(`,"metadata":[1]`), status: 422, code: "invalid-input", want: []string{"body.metadata"}},
			{name: "too many tags", body: add(`,"tags":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17","18","19","20","21"]`), status: 422, code: "invalid-input", want: []string{"body.tags"}},
			{name: "tampered cursor", method: "GET", path: "/v1/jobs?cursor=AAAA", status: 422, code: "invalid-input", want: []string{"query.cursor"}},
			{name: "unknown status", method: "GET", path: "/v1/jobs?status=done", status: 422, code: "invalid-input", want: []string{"query.status"}},
			{name: "limit too high", method: "GET", path: "/v1/jobs?limit=1000", status: 422, code: "invalid-input", want: []string{"query.limit"}},
			{name: "unknown query parameter", method: "GET", path: "/v1/jobs?statuses=failed", status: 422, code: "invalid-input", want: []string{"query.statuses"}},
			{name: "NUL in a filter", method: "GET", path: "/v1/jobs?tag=%00", status: 422, code: "invalid-input", want: []string{"query.tag"}},
			{name: "unknown path", method: "GET", path: "/v2/jobs", status: 404, code: "not-found"},
			{name: "wrong method", method: "PUT", path: "/v1/jobs", status: 405, code: "method-not-allowed", want: []string{"GET"}},
			{name: "no credentials", body: add(""), headers: []string{"Authorization: "}, status: 401, code: "unauthorized"},
			{name: "wrong credentials", body: add(""), headers: []string{"Authorization: Bearer ck_nope"}, status: 401, code: "unauthorized"},
			{name: "page of another origin", body: add(""), headers: []string{"Sec-Fetch-Site: cross-site"}, status: 403, code: "forbidden"},
			{name: "cancel what has ended", path: "/v1/jobs/" + theirs.ID + "/cancel", headers: []string{bob}, status: 409, code: "already-finished"},
			{name: "NUL in a reason", path: "/v1/jobs/" + theirs.ID + "/cancel", body: `{"reason":"a\u0000"}`, headers: []string{bob}, status: 422, code: "invalid-input", want: []string{"body.reason"}},
			{name: "reason that comes twice", path: "/v1/jobs/" + theirs.ID + "/cancel", body: `{"reason":"a","reason":"b"}`, headers: []string{bob}, status: 400, code: "bad-request", want: []string{"body.reason", "duplicate"}},
			{name: "reason too long", path: "/v1/jobs/" + theirs.ID + "/cancel", body: `{"reason":"` + strings.Repeat("x", 1001) + `"}`, headers: []string{bob}, status: 422, code: "invalid-input", want: []string{"body.reason", "at most 1000 characters"}},
			{name: "redelivery of nothing", path: "/v1/deliveries/redeliver", body: `{}`, status: 422, code: "invalid-input", want: []string{"body.status", "body.created_after", "this is required"}},
			{name: "redelivery of what is pending", path: "/v1/deliveries/redeliver", body: `{"status":"pending","created_after":"2026-01-01"}`, status: 422, code: "invalid-input", want: []string{`expected \"delivered\" or \"failed\"`, "a time such as"}},
			{name: "test of a number", path: "/v1/callbacks/test", body: `{"url":1}`, status: 422, code: "invalid-input", want: []string{"body.url", "expected a text, not a number"}},
			{name: "grace in other case", path: "/v1/callback-keys/rotate", body: `{"Grace":"1h"}`, status: 422, code: "invalid-input", want: []string{"body.Grace", "unexpected property"}},
			{name: "unknown field of cancel", path: "/v1/jobs/" + theirs.ID + "/cancel", body: `{"why":"x"}`, headers: []string{bob}, status: 422, code: "invalid-input", want: []string{"body.why"}},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				method, path, headers := test.method, test.path, append([]string{}, test.headers...)
				if method == "" {
					method = "POST"
				}
				if path == "" {
					path = "/v1/services/maths.add/jobs"
				}
				if !strings.Contains(fmt.Sprint(headers), "Authorization") {
					headers = append(headers, alice)
				}
				a := f.do(t, method, path, test.body, headers...)
				if a.StatusCode != test.status {
					t.Fatalf("%s, want %d: %s", a.Status, test.status, a.body)
				}
				p := a.problem(t)
				if p.Code != test.code || p.Status != test.status || !strings.HasPrefix(p.RequestID, "req_") || p.Detail == "" || p.Title == "" ||
					p.Type != f.URL+"/problems/"+p.Code || p.RequestID != a.Header.Get("X-Request-Id") {
					t.Errorf("problem = %+v, want code %s", p, test.code)
				}
				for _, want := range test.want {
					if !strings.Contains(a.body, want) {
						t.Errorf("%q is not in %s", want, a.body)
					}
				}
				if p.Status == 401 && a.Header.Get("WWW-Authenticate") == "" || p.Status == 405 && a.Header.Get("Allow") == "" {
					t.Errorf("headers = %v", a.Header)
				}
				if strings.Contains(a.body, string(theirs.Token)) || len(a.body) > 4000 {
					t.Errorf("the answer says too much: %s", a.body)
				}
			})
		}
		if list := f.do(t, "GET", "/v1/jobs", "", alice); !strings.Contains(list.body, `"data":[]`) {
			t.Errorf("mistakes left jobs behind: %s", list.body)
		}
		if strings.Contains(f.log.String(), "level=ERROR") || strings.Contains(f.log.String(), string(theirs.Token)) {
			t.Errorf("log: %s", f.log)
		}
	})
}

// Without users, only what calls the server by this machine's own name is
// answered.
func TestHostOfOpenServer(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:5000": 200, "127.0.0.1": 200, "[::1]:5000": 200, "127.1.2.3:80": 200,
		"evil.example": 421, "localhost.evil.example": 421, "10.0.0.1": 421, "": 421,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/v1/jobs", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if host == "" {
			continue // net/http fills it in
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("Host: %s: %s, want %d", host, resp.Status, want)
		}
	}
}

// forge returns the token with another last character.
func tamperedToken(token string) string {
	rest, last := token[:len(token)-1], token[len(token)-1:]
	if last == "0" {
		return rest + "1"
	}
	return rest + "0"
}
