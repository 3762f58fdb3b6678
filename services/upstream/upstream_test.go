package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/jobs"
)

// parse parses the settings of one upstream, test.
func parse(t *testing.T, settings string) (*Upstream, error) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte("test:\n  "+strings.ReplaceAll(settings, "\n", "\n  ")), &node); err != nil {
		t.Fatal(err)
	}
	upstreams, err := Parse(node.Content[0], t.TempDir())
	if err != nil {
		return nil, err
	}
	return upstreams[0], nil
}

func newUpstream(t *testing.T, settings string) *Upstream {
	t.Helper()
	u, err := parse(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A recorder is a reporter that keeps the output.
type recorder struct {
	mu     sync.Mutex
	output []string
	first  chan struct{} // closed at the first output
}

func (*recorder) Progress(float64, string, any) {}
func (*recorder) Log(string, string)            {}

func (r *recorder) Output(chunk string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.output = append(r.output, chunk); len(r.output) == 1 && r.first != nil {
		close(r.first)
	}
}

// echo responds with the request: its line, headers of interest and body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	text := fmt.Sprintf("%s %s|%s|%s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body)
	json.NewEncoder(w).Encode(map[string]string{"got": text, "auth": r.Header.Get("Authorization")})
}

// The request has the input in its URL and body, encoded as each of them needs.
func TestRequest(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	const input = `input: {required: [name], properties: {name: {type: string}, n: {type: number, default: 2}, list: {type: array}}}`
	for name, tt := range map[string]struct{ request, input, want string }{
		"JSON":      {`url: $/asr`, `{"name": "a b"}`, `POST /asr|application/json|{"n":2,"name":"a b"}`},
		"path":      {`url: "$/{{input.name}}/x?y={{input.name}}&z=1", body: none`, `{"name": "a/b ?&é"}`, `POST /a%2Fb%20%3F&%C3%A9/x?y=a%2Fb+%3F%26%C3%A9&z=1||`},
		"GET":       {`method: GET, url: "$/?q={{input.name}}"`, `{"name": "x"}`, `GET /?q=x||`},
		"form":      {`url: $/f, body: form`, `{"name": "a&b", "list": [1, "two", null, {"x": 3}]}`, `POST /f|application/x-www-form-urlencoded|list=1&list=two&list=%7B%22x%22%3A+3%7D&n=2&name=a%26b`},
		"multipart": {`url: $/m, body: multipart`, `{"name": "a"}`, `Content-Disposition: form-data; name=\"name\"`},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, "request: {"+strings.ReplaceAll(tt.request, "$", server.URL)+"}\n"+input)
			got, err := u.run(t.Context(), json.RawMessage(tt.input))
			var response struct{ Got string }
			if err != nil || json.Unmarshal(got, &response) != nil || !strings.Contains(response.Got, strings.ReplaceAll(tt.want, `\"`, `"`)) {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// A value can't lead to another path of the server.
func TestPathIsKept(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, "request: {url: 'http://localhost/a/{{input.x}}{{input.y}}/b?q={{input.x}}'}\ninput: {required: [x], properties: {x: {type: string}, y: {type: string, default: ''}}}")
	for input, want := range map[string]bool{
		`{"x": "a"}`: true, `{"x": "..."}`: true, `{"x": "a/../b"}`: true, `{"x": ".."}`: false, `{"x": "."}`: false, `{"x": ""}`: false, `{"x": ".", "y": "."}`: false, `{"x": "%2e%2e"}`: true,
	} {
		if err := u.check([]byte(input)); (err == nil) != want {
			t.Errorf("%s: %v", input, err)
		}
	}
}

// The input of one job does not change that of the next, or its key.
func TestInputIsNotShared(t *testing.T) {
	t.Parallel()
	var bodies, keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies, keys = append(bodies, string(body)), append(keys, r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()
	u := newUpstream(t, "request: {url: "+server.URL+", body: form, idempotency_key: true}\ninput: {properties: {tags: {type: array, default: [10, 20]}}}")
	for range 3 {
		if _, err := u.run(t.Context(), json.RawMessage("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range bodies {
		if bodies[i] != "tags=10&tags=20" || keys[i] != keys[0] || keys[i] == "" {
			t.Errorf("request %d: body %s, key %s", i, bodies[i], keys[i])
		}
	}
}

// Secrets come from the environment and from files, and appear in no error.
func TestSecrets(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("UPSTREAM_KEY", "from-env")
	u := newUpstream(t, `request: {url: "`+server.URL+`", headers: {authorization: "Bearer ${UPSTREAM_KEY} ${file:`+file+`}"}}`)
	got, err := u.run(t.Context(), json.RawMessage("{}"))
	if err != nil || !strings.Contains(string(got), `"auth":"Bearer from-env from-file"`) {
		t.Errorf("got %s, %v", got, err)
	}
	server.Close()
	if _, err := u.run(t.Context(), json.RawMessage("{}")); err == nil || strings.Contains(err.Error(), "from-") {
		t.Errorf("got error %v", err)
	}
	indiscreet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "bad key "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	}))
	defer indiscreet.Close()
	u = newUpstream(t, `request: {url: "`+indiscreet.URL+`", headers: {authorization: "Bearer ${UPSTREAM_KEY}"}}`)
	if _, err := u.run(t.Context(), json.RawMessage("{}")); err == nil || !strings.Contains(err.Error(), "bad key Bearer ***") {
		t.Errorf("got error %v", err)
	}
	u = newUpstream(t, `request: {url: "http://localhost/", headers: {authorization: "Bearer ${NO_SUCH_KEY}", x: "${file:no-such-file}"}}`)
	if got := u.Missing().Error(); !strings.Contains(got, "the environment variable NO_SUCH_KEY is not set") || !strings.Contains(got, "no-such-file can't be read") {
		t.Errorf("missing: %s", got)
	}
}

// The response decides whether the attempt succeeds, and whether another one follows.
func TestResponse(t *testing.T) {
	t.Parallel()
	respond := func(status int, contentType, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, tt := range map[string]struct {
		handler         http.HandlerFunc
		settings        string
		want, wantError string
		permanent       bool
	}{
		"JSON":             {respond(200, "application/json", ` {"a": 1} `), "", `{"a": 1}`, "", false},
		"201":              {respond(201, "application/json", `1`), "", `1`, "", false},
		"nothing":          {respond(204, "", ``), "", `null`, "", false},
		"text":             {respond(200, "text/plain", "a\n\xff"), "output: text", `"a\n�"`, "", false},
		"HTML":             {respond(200, "text/html", "<html>"), "", "", `the response is not JSON but "text/html"; it begins with "<html>"`, true},
		"redirect":         {respond(302, "text/html", "", "Location", "/elsewhere"), "", "", `redirected to "/elsewhere", which is not followed`, true},
		"404":              {respond(404, "text/plain", "no such model"), "", "", "404 Not Found: no such model", true},
		"429":              {respond(429, "text/plain", "busy"), "", "", "429 Too Many Requests: busy", false},
		"500":              {respond(500, "text/plain", ""), "", "", "500 Internal Server Error", false},
		"500 is permanent": {respond(500, "text/plain", ""), "retry: {permanent_status: [500]}", "", "500 Internal Server Error", true},
		"404 is not":       {respond(404, "text/plain", ""), "retry: {permanent_status: [500]}", "", "404 Not Found", false},
		"too large":        {respond(200, "text/plain", strings.Repeat("x", jobs.DefaultMaxOutput+1)), "output: text", "", "more than 4194304 bytes", true},
		"reset":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", "", "POST http://127.0.0.1:", false},
		"events":           {respond(200, "text/event-stream", ": comment\nevent: x\ndata: {\"a\":\ndata: 1}\nid: 3\n\ndata: two\r\n\r\ndata: [DONE]\n\ndata: 4\n\n"), "", `[{"a":1},"two"]`, "", false},
		"events as text":   {respond(200, "text/event-stream", "data: one\n\ndata: two\n\ndata: cut off"), "output: text", `"one\ntwo\n"`, "", false},
		"lines":            {respond(200, "application/x-ndjson", "{\"a\":1}\n\n[2]\n3"), "", `[{"a":1},[2],3]`, "", false},
		"no stream":        {respond(200, "application/x-ndjson", "1\n"), "stream: off", `1`, "", false},
		"endless events":   {respond(200, "text/event-stream", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n\n", 5000)), "", "", "more than 4194304 bytes", true},
		"an endless line":  {respond(200, "application/x-ndjson", strings.Repeat("x", jobs.DefaultMaxOutput+1)), "", "", "more than 4194304 bytes", true},
		"an endless event": {respond(200, "text/event-stream", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 5000)), "", "", "more than 4194304 bytes", true},
		"empty data lines": {respond(200, "text/event-stream", strings.Repeat("data\n", jobs.DefaultMaxOutput+1)), "", "", "more than 4194304 bytes", true},
		"an error that stays open": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, "", "", "502 Bad Gateway: x", false},
		"byte order mark": {respond(200, "application/json", "\ufeff1"), "", "1", "", false},
		"silence":         {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "idle: 50ms", "", "sent nothing for too long", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			u := newUpstream(t, "request: {url: \""+server.URL+"/?secret=s3cret\", body: none}\n"+tt.settings)
			got, err := u.run(t.Context(), json.RawMessage("{}"))
			if tt.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantError) || errors.Is(err, jobs.ErrPermanent) != tt.permanent || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("got error %v, permanent %t, want %q, %t", err, errors.Is(err, jobs.ErrPermanent), tt.wantError, tt.permanent)
				}
				return
			}
			var a, b any
			if err != nil || json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(tt.want), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("got %.300s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// Parts of a stream are published as they come, and cancellation closes the request.
func TestCancel(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(closed)
	}))
	defer server.Close()
	u := newUpstream(t, "request: {url: "+server.URL+"}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &recorder{first: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := u.run(jobs.WithReporter(ctx, r), json.RawMessage("{}"))
		done <- err
	}()
	<-r.first
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the request is still open")
	}
	if fmt.Sprint(r.output) != "[1\n]" {
		t.Errorf("output %q", r.output)
	}
}

// The server's Retry-After decides when the next attempt begins.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"7": 7 * time.Second, " 0 ": 0, "-1": -1, "soon": -1, "": -1, "99999999999": 24 * time.Hour, "Fri, 01 Jan 2999 00:00:00 GMT": 24 * time.Hour, "Sat, 01 Jan 2000 00:00:00 GMT": 0} {
		got, ok := retryAfter(&http.Response{Header: http.Header{"Retry-After": {text}}})
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// Every mistake is reported with its line, and with what would be right.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ settings, want string }{
		{"summary: x", "line 2: upstreams.test: request is missing"},
		{"request: {method: POST}", "line 2: upstreams.test.request: url is missing"},
		{"request: {url: localhost}", "line 2: upstreams.test.request.url: expected a URL that begins with http://"},
		{"request: {url: 'http://u:p@localhost/'}", "line 2: upstreams.test.request.url: credentials belong into headers"},
		{"request: {url: 'http://localhost/?key=${KEY}'}", "line 2: upstreams.test.request.url: credentials belong into headers"},
		{"request: {url: 'http://{{input.host}}/'}\ninput: {required: [host], properties: {host: {type: string}}}", "line 2: upstreams.test.request.url: "},
		{"request: {url: 'http://a.{{input.host}}/'}\ninput: {required: [host], properties: {host: {type: string}}}", "line 2: upstreams.test.request.url: "},
		{"request: {url: 'http://a/{{input.x}}'}", `{{input.x}}: the schema under input has no property "x"`},
		{"request: {url: 'http://a/', method: BREW}", "line 2: upstreams.test.request.method: expected GET, POST, PUT, PATCH, DELETE"},
		{"request: {url: 'http://a/', headers: {Host: x}}", `line 2: upstreams.test.request.headers: "Host" is no header that can be set`},
		{"request: {url: 'http://a/', headers: {X: \"a\\nb\"}}", "line 2: upstreams.test.request.headers.X: the value has characters that no header can have"},
		{"request: {url: 'http://a/', body: xml}", "line 2: upstreams.test.request.body: expected json, form, multipart, raw, none"},
	} {
		if _, err := parse(t, tt.settings); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.settings, err, tt.want)
		}
	}
}
