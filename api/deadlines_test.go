package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/api/conn"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// shortDeadlines sets deadlines that a test reaches soon.
func shortDeadlines(c *api.Config) {
	c.MaxBody, c.BodyTimeout, c.Streams.Stall = 64<<10, 300*time.Millisecond, 300*time.Millisecond
}

// A body that does not come ends its request, whatever is asked for, and whoever
// asks.
func TestBodyDeadline(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: shortDeadlines})
	for name, request := range map[string]string{
		"sign-in":                    "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n",
		"sign-in, a part":            "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\nname",
		"submit without credentials": "POST /v1/services/maths.add/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n",
		"submit":                     "POST /v1/services/maths.add/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + keys["alice"] + "\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n",
		"cancel":                     "POST /v1/jobs/job_x/cancel HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + keys["alice"] + "\r\nContent-Length: 10\r\n\r\n",
		"delete":                     "DELETE /v1/jobs/job_x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + keys["alice"] + "\r\nContent-Length: 10\r\n\r\n",
		"no such path":               "POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n",
		"no such host":               "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n",
		"preflight":                  "OPTIONS /v1/jobs/job_x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n",
		"chunks":                     "POST /v1/services/maths.add/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + keys["alice"] + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"inp\r\n",
		"chunks for nobody":          "POST /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"100-continue":               "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n",
		"GET":                        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n",
		"HEAD":                       "HEAD /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n",
		"GET in chunks":              "GET /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := raw(t, f.URL, request)
			start := time.Now()
			r := bufio.NewReader(conn)
			status, _ := r.ReadString('\n') // a connection may also be closed without an answer
			if strings.HasPrefix(name, "GET") && time.Since(start) > time.Second {
				t.Errorf("answered after %s, want at once", time.Since(start))
			}
			_, err := io.ReadAll(r) // until the server closes it
			if err != nil {
				t.Fatalf("the connection stays open: %v", err)
			}
			if strings.HasPrefix(name, "GET") && !strings.HasPrefix(status, "HTTP/1.1 400 ") {
				t.Errorf("got %s, want 400", status)
			}
		})
	}
}

// Some clients send a GET request with a body that is empty, in chunks.
func TestEmptyChunks(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	conn := raw(t, f.URL, "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	r := bufio.NewReader(conn)
	for range 2 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("got %s, %v", resp.Status, err)
		}
		resp.Body.Close()
	}
}

// What takes longer than the deadlines by right is not cut off, and the same
// connection serves the next request.
func TestDeadlinesAllowLongPolls(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: shortDeadlines})
	reused := f.Client().Transport
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			url, client := f.URL, &http.Client{Transport: reused}
			if proto == "HTTP/2.0" {
				secure := httptest.NewUnstartedServer(f.api)
				secure.EnableHTTP2 = true
				secure.StartTLS()
				t.Cleanup(secure.Close)
				url, client = secure.URL, secure.Client()
			}
			for range 2 {
				req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/services/sleep/jobs", strings.NewReader(`{"input": {"seconds": 1.5}}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Prefer", "wait=30")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || resp.Proto != proto {
					t.Errorf("got %s %s %s, %v", resp.Proto, resp.Status, text, err)
				}
			}
		})
	}
}

// bigService makes an output of 4 MB.
func bigService(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "big", Summary: "Make much of it."}, func(context.Context, struct{}) (string, error) {
		return strings.Repeat("x", 4<<20-10), nil
	})
}

// tight returns a server whose connections hold back little of what is not
// read yet.
func (f *fixture) tight(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(f.api)
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// An answer that nobody reads ends; one that is read slowly does not.
func TestResponseDeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: bigService, api: func(c *api.Config) { c.Streams.Stall = 3 * time.Second }})
	job := f.do(t, "POST", "/v1/services/big/jobs", `{"input": {}}`, "Prefer: wait=30").job(t)
	if !job.Done {
		t.Fatalf("the job is %s", job.Status)
	}
	server := f.tight(t)
	for _, suffix := range []string{"", "/result"} {
		request := fmt.Sprintf("GET /v1/jobs/%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", job.Token, suffix)
		f.log.Reset()
		stalled := raw(t, server.URL, request)
		stalled.(*net.TCPConn).SetReadBuffer(4096)
		waitFor(t, "end of an answer that nobody reads", 20*time.Second, func() bool { return strings.Contains(f.log.String(), "msg=request ") })

		slow := raw(t, server.URL, request)
		slow.(*net.TCPConn).SetReadBuffer(64 << 10)
		start, total := time.Now(), 0
		for buf := make([]byte, 128<<10); ; time.Sleep(20 * time.Millisecond) {
			n, err := io.ReadFull(slow, buf)
			total += n
			if err != nil {
				break
			}
		}
		if total < 4<<20 {
			t.Errorf("a slow reader got %d bytes in %s", total, time.Since(start))
		}
	}
}

// The same on HTTP/2, where the body of one of many requests does not come.
func TestBodyDeadlineHTTP2(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: shortDeadlines})
	secure := httptest.NewUnstartedServer(f.api)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	body, never := io.Pipe()
	defer never.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", secure.URL+"/login", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := secure.Client().Do(req)
	if err == nil { // else the stream was reset, which is an end too
		resp.Body.Close()
		if resp.Proto != "HTTP/2.0" || resp.StatusCode < 400 {
			t.Errorf("got %s %s", resp.Proto, resp.Status)
		}
	}
}

// newBounded returns a server with few connections.
func newBounded(t *testing.T, f *fixture, connections *conn.Limiter, config *tls.Config) (addr string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: f.api, ReadHeaderTimeout: time.Minute}
	done := make(chan error)
	go func() { done <- connections.Serve(server, listener, config) }()
	t.Cleanup(func() { server.Close(); <-done })
	return listener.Addr().String()
}

// However many connections wait for nothing, callers are answered.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	connections := conn.NewLimiter(8, slog.New(slog.NewTextHandler(&log, nil)))
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Connections, c.Streams.Total = connections, 6 }})
	addr := newBounded(t, f, connections, nil)
	job := f.do(t, "POST", "/v1/services/hold/jobs", `{"input": {}}`).job(t)
	defer close(f.hold)
	for name, request := range map[string]string{
		"silent":     "",
		"half":       "GET /healthz HT",
		"body":       "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n",
		"GET body":   "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n",
		"no host":    "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 10\r\n\r\n",
		"kept alive": "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"viewers":    "GET /v1/jobs/" + string(job.Token) + "/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n",
		"polls":      "GET /v1/jobs/" + string(job.Token) + "?wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var held []net.Conn
			defer func() {
				for _, conn := range held {
					conn.Close()
				}
			}()
			for range 30 {
				held = append(held, raw(t, "http://"+addr, request))
			}
			for _, path := range []string{"/readyz", "/v1/jobs/" + string(job.Token)} {
				conn := raw(t, "http://"+addr, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
				held = append(held, conn)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", path, resp.Status)
				}
			}
		})
	}
	if n := strings.Count(log.String(), "no room"); n != 1 {
		t.Errorf("%d lines say that there is no room, want one:\n%s", n, log.String())
	}
	metrics := f.do(t, "GET", "/metrics", "").body
	if !strings.Contains(metrics, "\ncoatcheck_connections ") || strings.Contains(metrics, "\ncoatcheck_connections_evicted_total 0\n") {
		t.Error("the metrics do not count connections")
	}
}

// Those who wait for a job are counted as those who watch it.
func TestLongPollsAreLimited(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.PerJob = 2 }})
	job := f.do(t, "POST", "/v1/services/hold/jobs", `{"input": {}}`).job(t)
	for range 2 {
		raw(t, f.URL, "GET /v1/jobs/"+string(job.Token)+"?wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	}
	waitFor(t, "two who wait", 10*time.Second, func() bool { return f.streams(t) == 2 })
	start := time.Now()
	got := f.do(t, "GET", "/v1/jobs/"+string(job.Token)+"?wait=60", "")
	if got.StatusCode != http.StatusOK || time.Since(start) > 30*time.Second || got.Header.Get("Retry-After") == "" {
		t.Errorf("got %s after %s, want the job at once", got.Status, time.Since(start))
	}
	close(f.hold)
	waitFor(t, "nobody who waits", 10*time.Second, func() bool { return f.streams(t) == 0 })
}

// A large output is whole wherever a job is shown, and turns are given back.
func TestLargeOutputs(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{services: bigService})
		const whole = 4<<20 - 10
		key := "Idempotency-Key: k"
		job := f.do(t, "POST", "/v1/services/big/jobs", `{"input": {}}`, "Prefer: wait=30", key).job(t)
		show := map[string]string{
			"with its id":    f.do(t, "GET", "/v1/jobs/"+job.ID, "").body,
			"with its token": f.do(t, "GET", "/v1/jobs/"+string(job.Token), "").body,
			"long poll":      f.do(t, "GET", "/v1/jobs/"+job.ID+"?wait=5", "").body,
			"result":         f.do(t, "GET", "/v1/jobs/"+job.ID+"/result", "").body,
			"replay":         f.do(t, "POST", "/v1/services/big/jobs", `{"input": {}}`, key).body,
			"submit":         f.do(t, "POST", "/v1/services/big/jobs", `{"input": {}}`, "Prefer: wait=30").body,
			"Celery's words": f.do(t, "GET", "/tasks/"+job.ID, "").body,
			"events":         f.do(t, "GET", "/v1/jobs/"+job.ID+"/events", "", "Accept: text/event-stream").body,
			"lines":          f.do(t, "GET", "/v1/jobs/"+job.ID+"/events", "", "Accept: application/x-ndjson").body,
			"submit, events": f.do(t, "POST", "/v1/services/big/jobs", `{"input": {}}`, "Accept: text/event-stream").body,
		}
		for name, body := range show {
			if n := strings.Count(body, "x"); n < whole || strings.Contains(body, "output_omitted") {
				t.Errorf("%s: %d bytes of output, want %d: %.300s", name, n, whole, body)
			}
		}
		if page := f.do(t, "GET", "/jobs/"+job.ID, "", "Accept: text/html").body; !strings.Contains(page, strings.Repeat("x", 1000)) {
			t.Error("the page does not show the output")
		}
		for range 40 { // more than there are turns
			if a := f.do(t, "GET", "/v1/jobs/"+job.ID+"/result", ""); a.StatusCode != http.StatusOK {
				t.Fatalf("got %s", a.Status)
			}
		}
	})
}
