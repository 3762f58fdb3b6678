package api_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/api/conn"
	"coatcheck/jobs/jobstest"
)

// After a stream, its connection serves other requests and streams, with and without TLS.
func TestConnectionOutlivesStreams(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil)
	certificates := certified.TLS.Certificates
	certified.Close()
	for scheme, config := range map[string]*tls.Config{"http": nil, "https": {Certificates: certificates}} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			connections := conn.NewLimiter(8, slogDiscard)
			f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Connections, c.Streams.Stall = connections, 100*time.Millisecond }})
			address := scheme + "://" + newBounded(t, f, connections, config)
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			t.Cleanup(transport.CloseIdleConnections)
			dialed := 0
			get := func(url, accept string) string {
				t.Helper()
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
					if !c.Reused {
						dialed++
					}
				}})
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+path(url), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept", accept)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Connection") != "" {
					t.Fatalf("%s: %s %v %s %v", url, resp.Status, resp.Header, body, err)
				}
				return string(body)
			}
			for range 20 { // the job ends while it is watched, and before
				job := f.submit(t, "sleep", `{"input": {"seconds": 0.15}}`) // longer than a write may take
				for range 2 {
					if events := get(job.EventsURL, "text/event-stream"); !strings.Contains(events, "event: end") {
						t.Fatalf("events %s", events)
					}
					if status := get(job.StatusURL, "application/json"); !strings.Contains(status, "succeeded") {
						t.Fatalf("status %s", status)
					}
				}
			}
			if dialed != 1 {
				t.Errorf("%d connections, want 1", dialed)
			}
		})
	}
}

// A connection ends with its stream if the client wants that, or has sent something meanwhile that
// is lost.
func TestConnectionEndsWithStream(t *testing.T) {
	t.Parallel()
	connections := conn.NewLimiter(8, slog.New(slog.DiscardHandler))
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Connections = connections }})
	address := "http://" + newBounded(t, f, connections, nil)
	job := f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}}`)
	request := "GET " + path(job.EventsURL) + " HTTP/1.1\r\nHost: localhost\r\n"
	for name, sent := range map[string]string{
		"close":     request + "Connection: close\r\n\r\n",
		"pipelined": request + "\r\n" + request + "\r\n",
		"HTTP/1.0":  strings.Replace(request, "1.1", "1.0", 1) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := bufio.NewReader(raw(t, address, sent))
			resp, err := http.ReadResponse(conn, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil || !strings.Contains(string(body), "event: end") {
				t.Fatalf("%s %v", body, err)
			}
			resp.Body.Close()
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("after the stream: %q, %v", rest, err)
			}
		})
	}
}
