package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"coatcheck/jobs"
	"coatcheck/jobs/schema"
	"coatcheck/notify"
	"coatcheck/services"
)

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{`"a"`, "a", `"`, `""`, `"a\"b\\"`, `"a" `, "a b", "a,b", "\x00", `"é"`, strings.Repeat("x", 256)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := parseKey([]string{s})
		if err != nil {
			return
		}
		if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is the key %q", s, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := parseKey([]string{quoted}); err != nil || again != key {
			t.Errorf("%s is the key %q, %v, want %q", quoted, again, err, key)
		}
	})
}

func TestWaitPreference(t *testing.T) {
	for s, want := range map[string]int{
		"wait=5": 5, "Wait = 5": 5, "respond-async, wait=5": 5, "wait=5, wait=9": 5, `wait="5"`: 5, "wait=999999999": 55, `x="a, wait=3", wait=5`: 5, "wait=5; foo=bar": 5, "wait=0": 0,
	} {
		if got, ok := waitPreference([]string{s}); !ok || got != time.Duration(want)*time.Second {
			t.Errorf("%s: %s, %t, want %d s", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "wait", "wait=", "wait=-1", "wait=1.5", "wait=x", "wait=9999999999", "waiting=5", `x="wait=5"`} {
		if got, ok := waitPreference([]string{s}); ok {
			t.Errorf("%s: %s", s, got)
		}
	}
}

func FuzzWaitPreference(f *testing.F) {
	for _, s := range []string{"wait=5", "respond-async, wait=10", `wait="1", x`, `"\`, ",,,", "wait=99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, _ := waitPreference([]string{s}); d < 0 || d > maxWait {
			t.Errorf("%q waits %s", s, d)
		}
	})
}

func TestAccepted(t *testing.T) {
	for accept, want := range map[string]string{
		"": eventStream, "*/*": eventStream, "text/event-stream": eventStream, "text/*": eventStream, "application/*": ndjson, "application/x-ndjson": ndjson,
		"application/x-ndjson, text/event-stream": ndjson, "text/event-stream, application/x-ndjson": eventStream, "application/x-ndjson;q=0.5, text/event-stream": eventStream,
		"application/x-ndjson;q=0, */*": eventStream, "text/event-stream;q=0, */*": ndjson, "Application/X-NDJSON; q=0.5": ndjson,
		"application/json": "", "application/json, text/html;q=0.9": "", "*/*;q=0": "", "garbage": "",
		"text/event-stream;q=0.1, */*": ndjson, "*/*, text/event-stream;q=0": ndjson, "text/*;q=0, */*": ndjson, "*/*;q=0, text/*": eventStream,
		"text/*;q=0.2, text/event-stream;q=0.9, application/*;q=0.5": eventStream,
	} {
		if got := accepted(accept, eventStream, ndjson); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
}

// Whatever the body is, it is a submission that the queue can take or a
// problem that says where the mistake is, and nothing panics.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"input":{"seconds":1}}`, `{"input":{"seconds":1,"name":"a\u0000"},"then":[{"service":"maths.add","input":{"a":{"$output":"/x"},"b":{"$output":1}}}]}`,
		`{"input":null,"delay":"1s","run_at":"2030-01-01T00:00:00Z"}`, `[`, `{"input":{"seconds":1e400}}`, `{"input":{"seconds":1},"metadata":null,"tags":[""],"callback_url":"https://example.com"}`,
	} {
		f.Add([]byte(s))
	}
	registry := new(jobs.Registry)
	services.Register(registry)
	guard, err := notify.NewGuard(notify.GuardConfig{})
	if err != nil {
		f.Fatal(err)
	}
	a := newDecoder(f, Config{Services: registry, Guard: guard})
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := a.Decode(t.Context(), "sleep", "application/json", body)
		if err != nil {
			p := knownProblem(err)
			if p == nil || p.Status < 400 || p.Status > 499 {
				t.Fatalf("%q: %v", body, err)
			}
			for _, e := range p.Errors {
				if !strings.HasPrefix(e.Location, "body") || e.Message == "" {
					t.Errorf("%q: %+v", body, e)
				}
			}
			return
		}
		if !json.Valid(s.Input) || a.Validator.Validate("sleep", s.Input) != nil || !utf8.Valid(s.Input) {
			t.Errorf("%q has the input %q", body, s.Input)
		}
	})
}

// newDecoder returns an API that can only decode submissions.
func newDecoder(tb testing.TB, c Config) *API {
	tb.Helper()
	c.Validator = newTestValidator(tb, c.Services)
	schemas, err := newRequestSchemas(c.Validator)
	if err != nil {
		tb.Fatal(err)
	}
	return &API{Config: c, schemas: schemas}
}

func newTestValidator(tb testing.TB, registry *jobs.Registry) *schema.Validator {
	tb.Helper()
	v, err := schema.NewValidator(registry)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// A query is malformed exactly when the standard library says so, and each
// mistake says where.
func FuzzMalformed(f *testing.F) {
	for _, s := range []string{"", "a=1&b=2", "a=%", "%zz=1", "a;b", "a=1;b=2", "&&", "=", "a=%25", "\xbe=%", strings.Repeat("a=%&", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		errs := malformed(query)
		if _, err := url.ParseQuery(query); (err != nil) != (len(errs) > 0) || len(errs) > schema.MaxErrors {
			t.Fatalf("%q: %v, %v", query, errs, err)
		}
		for _, e := range errs {
			if !strings.HasPrefix(e.Location, "query") || e.Message == "" || !utf8.ValidString(e.Location) {
				t.Errorf("%q: %+v", query, e)
			}
		}
	})
}
