package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"

	"coatcheck/api/client/watch"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

const (
	lines       = 300
	largeOutput = 3 << 20
)

// talk says numbered lines and returns a large output.
func chattyService(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "talk", Summary: "Talk a lot."}, func(ctx context.Context, _ struct{}) (string, error) {
		for n := range lines {
			jobs.Log(ctx, "%d", n)
			time.Sleep(4 * time.Millisecond)
		}
		return strings.Repeat("x", largeOutput), nil
	})
}

// cutter stands before a server and cuts off what it streams, anywhere: a few times
// after a few events, by turns as a connection that breaks and as
// one that ends cleanly.
func cutter(t *testing.T, server string, cuts int64) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, server+r.URL.Path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return // the client has left
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		io.WriteString(w, "retry: 1\n\n") // the test shall not take long
		n := connections.Add(1)
		rest := 1 << 30
		if n <= cuts {
			rest = 1500 + rand.N(2500)
		}
		buf := make([]byte, 16<<10)
		for rest > 0 {
			m, err := resp.Body.Read(buf[:min(rest, len(buf))])
			w.Write(bytes.Replace(buf[:m], []byte("retry: "), []byte(": not "), 1))
			http.NewResponseController(w).Flush()
			if rest -= m; err != nil {
				return
			}
		}
		if n%2 == 0 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, connections
}

// Whatever is cut off on the way, our client sees each event once.
func TestWatchAcrossDisconnects(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: chattyService})
	proxy, connections := cutter(t, f.URL, 10)
	job := f.submit(t, "talk", `{"input":{}}`)
	next, ended := -1, false
	for e, err := range (&watch.Stream{URL: proxy + "/v1/jobs/" + string(job.Token) + "/events"}).Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Message string
			Job     jobs.Job
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		switch e.Name {
		case "log":
			var n int
			fmt.Sscan(d.Message, &n)
			if next >= 0 && n != next {
				t.Fatalf("line %d, want %d", n, next)
			}
			next = n + 1
		case "end":
			if ended = true; len(d.Job.Output) < largeOutput {
				t.Errorf("the output has %d bytes", len(d.Job.Output))
			}
		}
		if ended {
			break
		}
	}
	if next != lines || !ended || connections.Load() < 5 {
		t.Errorf("%d lines, ended %v, over %d connections", next, ended, connections.Load())
	}
}

// r3labs' client hands on what was cut off, and takes its id for the newest
// one. Even so it misses nothing, because ids come last.
func TestDisconnectsWithR3labs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: chattyService})
	proxy, connections := cutter(t, f.URL, 10)
	job := f.submit(t, "talk", `{"input":{}}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := sse.NewClient(proxy+"/v1/jobs/"+string(job.Token)+"/events", sse.ClientMaxBufferSize(32<<20))
	client.ReconnectStrategy = backoff.WithContext(backoff.NewConstantBackOff(time.Millisecond), ctx)
	next, ended := -1, false
	for ctx.Err() == nil { // a clean end ends its subscription
		client.SubscribeRawWithContext(ctx, func(e *sse.Event) {
			var d struct {
				Message string
				Job     jobs.Job
			}
			if json.Unmarshal(e.Data, &d) != nil {
				return // cut off
			}
			switch string(e.Event) {
			case "log":
				var n int
				fmt.Sscan(d.Message, &n)
				if next >= 0 && n > next {
					t.Errorf("line %d, want %d", n, next)
				}
				next = max(next, n+1)
			case "end":
				ended = len(d.Job.Output) >= largeOutput
				cancel()
			}
		})
	}
	if next != lines || !ended || connections.Load() < 5 {
		t.Errorf("%d lines, ended %v, over %d connections", next, ended, connections.Load())
	}
}
