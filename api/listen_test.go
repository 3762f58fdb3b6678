package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
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

// A connection that waits for a request after its stream has the time of an idle connection, then
// that of a header, and does not delay the end of the server.
func TestConnectionIdlesAfterStream(t *testing.T) {
	t.Parallel()
	connections := conn.NewLimiter(8, slogDiscard)
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Connections = connections }})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const headerTimeout = 200 * time.Millisecond
	server := &http.Server{Handler: f.api, ReadHeaderTimeout: headerTimeout, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- connections.Serve(server, listener, nil) }()
	job := f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}}`)
	request := "GET " + path(job.EventsURL) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	afterStream := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		client := raw(t, "http://"+listener.Addr().String(), "")
		r := bufio.NewReader(client)
		exchange(t, client, r, request)
		return client, r
	}

	client, r := afterStream()
	if err := client.SetReadDeadline(time.Now().Add(2 * headerTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("idle connection: %v, want it open", err)
	}
	if err := client.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	exchange(t, client, r, request)
	if _, err := io.WriteString(client, request[:8]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("half a header: %v, want the connection closed", err)
	}

	afterStream()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // a new connection delays a server for 5
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// exchange sends a request and reads the response.
func exchange(t *testing.T, client net.Conn, r *bufio.Reader, request string) {
	t.Helper()
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "event: end") {
		t.Fatalf("%s %s %v", resp.Status, body, err)
	}
}
