package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/r3labs/sse/v2"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

var (
	slogDiscard = slog.New(slog.DiscardHandler)
	loopback    = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
)

// An event is one as a viewer gets it.
type event struct{ id, name, data string }

// A viewer reads a stream.
type viewer struct {
	*http.Response
	events chan event // closed when the stream ends
	// Valid when the stream has ended:
	retry string // the newest
	clean error  // nil if it ended as it should
	// cancel leaves, and waits for that.
	cancel func()
}

// watch opens a stream of the job's events.
func (f *fixture) watch(t testing.TB, url string, headers ...string) *viewer {
	t.Helper()
	return f.watchVia(t, http.DefaultTransport, url, true, headers...)
}

// watchVia is watch through a transport. A viewer who does not read stalls.
func (f *fixture) watchVia(t testing.TB, transport http.RoundTripper, url string, read bool, headers ...string) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if !read {
		return &viewer{Response: resp, cancel: func() { cancel(); resp.Body.Close() }}
	}
	return newViewer(t, resp, cancel)
}

func newViewer(t testing.TB, resp *http.Response, cancel func()) *viewer {
	t.Helper()
	v := &viewer{Response: resp, events: make(chan event, 10_000)}
	done := make(chan struct{})
	v.cancel = func() { cancel(); resp.Body.Close(); <-done }
	t.Cleanup(v.cancel)
	go func() {
		defer close(done)
		defer close(v.events)
		lines := bufio.NewReader(resp.Body)
		var e event
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				if err != io.EOF || line != "" || e != (event{}) {
					v.clean = fmt.Errorf("broken off in %+v%s: %w", e, line, err)
				}
				return
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "event":
				e.name = value
			case "data":
				e.data += value
			case "id":
				e.id = value
			case "retry":
				v.retry = value
			case "":
				if e.name != "" {
					v.events <- e
				}
				e = event{}
			}
		}
	}()
	return v
}

// next returns the next event that is no ping.
func (v *viewer) next(t *testing.T) event {
	t.Helper()
	for {
		select {
		case e, ok := <-v.events:
			if !ok {
				t.Fatal("the stream has ended")
			}
			if e.name != "ping" {
				return e
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no event")
		}
	}
}

// names returns the names of the events until the stream ends.
func (v *viewer) names(t *testing.T) (names []string) {
	t.Helper()
	for {
		select {
		case e, ok := <-v.events:
			if !ok {
				return names
			}
			names = append(names, e.name)
		case <-time.After(20 * time.Second):
			t.Fatal("the stream does not end")
		}
	}
}

func TestStream(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		job := f.submit(t, "hold", `{"input":{}}`)
		v := f.watch(t, job.EventsURL)
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*", "Content-Encoding": "",
		} {
			if got := v.Header.Get(name); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		snapshot := v.next(t)
		if snapshot.name != "snapshot" || snapshot.id == "" || !strings.Contains(snapshot.data, `"type":"snapshot","job":{"id":"`+job.ID) || strings.Contains(snapshot.data, `"input"`) {
			t.Fatalf("first event = %+v", snapshot)
		}
		// Whenever the viewer came, it learns of the progress.
		seen := snapshot.data
		for !strings.Contains(seen, "frame 80/200") || !strings.Contains(seen, "a chunk") && !strings.Contains(seen, "1-") {
			e := v.next(t)
			if e.id == "" {
				t.Errorf("%+v has no id", e)
			}
			seen += e.data
			if strings.Contains(seen, "a chunk") {
				break
			}
		}
		close(f.hold)
		var last event
		for last.name != "end" {
			last = v.next(t)
		}
		if !strings.Contains(last.data, `"type":"end","job":{`) || !strings.Contains(last.data, `"output":"held"`) {
			t.Errorf("end = %+v", last)
		}
		if rest := v.names(t); len(rest) != 0 {
			t.Errorf("after the end come %v", rest)
		}

		// At or past the end there is nothing more, for good.
		for _, id := range []string{last.id, "999-0"} {
			if again := f.watch(t, job.EventsURL, "Last-Event-ID: "+id); again.StatusCode != 204 || again.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("after %s: %s", id, again.Status)
			}
		}
		// Without an id, or with one that makes no sense, a finished job is a
		// snapshot and its end.
		for _, id := range []string{"", "nonsense", "1", "-1-2", "18446744073709551616-0"} {
			if got := fmt.Sprint(f.watch(t, job.EventsURL, "Last-Event-ID: "+id).names(t)); got != "[snapshot end]" {
				t.Errorf("with id %q: %s", id, got)
			}
		}
		// From the first event on, exactly what followed.
		if got := fmt.Sprint(f.watch(t, job.EventsURL+"?after=1-0").names(t)); !strings.HasSuffix(got, " end]") {
			t.Errorf("after 1-0: %s", got)
		}
	})
}

// A viewer that goes on where it was misses nothing and sees nothing twice.
func TestStreamResumes(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		job := f.submit(t, "sleep", `{"input":{"seconds":2}}`)
		after := ""
		var percents []float64
		for hops := 0; ; hops++ {
			headers := []string{}
			if after != "" {
				headers = append(headers, "Last-Event-ID: "+after)
			}
			v := f.watch(t, job.EventsURL, headers...)
			for range 3 {
				e := v.next(t)
				after = e.id
				var d struct {
					Percent float64
					Job     jobs.Job
				}
				if err := json.Unmarshal([]byte(e.data), &d); err != nil {
					t.Fatal(err)
				}
				switch e.name {
				case "snapshot":
					if hops > 0 {
						t.Errorf("a snapshot after hop %d", hops)
					}
					percents = append(percents, d.Job.Progress.Percent)
				case "progress":
					percents = append(percents, d.Percent)
				case "end":
					for i := 1; i < len(percents); i++ {
						if percents[i] <= percents[i-1] && percents[i] != 0 {
							t.Errorf("percents = %v", percents)
						}
					}
					if hops < 2 {
						t.Errorf("only %d hops", hops)
					}
					return
				}
			}
			v.cancel()
		}
	})
}

func TestStreamNDJSON(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, "Prefer: wait=20")
	a := f.do(t, "GET", job.EventsURL, "", "Accept: application/x-ndjson")
	if a.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("Content-Type: %s", a.Header.Get("Content-Type"))
	}
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	for _, line := range lines {
		var e struct {
			ID, Event string
			Data      struct{ Job jobs.Job }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event == "" || e.Data.Job.ID != job.ID {
			t.Errorf("%s: %v", line, err)
		}
	}
	if len(lines) != 2 {
		t.Errorf("%d lines", len(lines))
	}
}

// A stopping server, and one that has no room, say when to come back instead
// of refusing: browsers would give up.
func TestStreamBusy(t *testing.T) {
	full := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Total = 1 }})
	job := full.submit(t, "hold", `{"input":{}}`)
	first := full.watch(t, job.EventsURL)
	first.next(t)
	a := full.do(t, "GET", job.EventsURL, "")
	if a.StatusCode != 200 || a.body != "retry: 15000\n\n" {
		t.Errorf("one too many: %s %q", a.Status, a.body)
	}
	full.api.Drain()
	first.names(t) // it ends
	if a := full.do(t, "GET", job.EventsURL, ""); a.StatusCode != 200 || a.body != "retry: 15000\n\n" {
		t.Errorf("draining: %s %q", a.Status, a.body)
	}
	if a := full.do(t, "POST", "/v1/services/hold/jobs", `{"input":{}}`); a.StatusCode != 503 || a.problem(t).Code != "shutting-down" || a.Header.Get("Retry-After") == "" {
		t.Errorf("submit while draining: %s %s", a.Status, a.body)
	}
	if a := full.do(t, "GET", "/readyz", ""); a.StatusCode != 503 {
		t.Errorf("ready while draining: %s", a.Status)
	}
}

// An independent client gets along with the stream.
func TestStreamWithR3labs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "sleep", `{"input":{"seconds":0.5,"name":"Ada"}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var names []string
	err := sse.NewClient(job.EventsURL).SubscribeRawWithContext(ctx, func(e *sse.Event) {
		if len(e.Event) > 0 {
			names = append(names, string(e.Event))
		}
		if string(e.Event) == "end" {
			cancel()
		}
	})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names); !strings.HasPrefix(got, "[snapshot ") || !strings.HasSuffix(got, " end]") || !strings.Contains(got, "progress") {
		t.Errorf("events = %s", got)
	}
}

func TestStreamHead(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	a := f.do(t, "HEAD", job.EventsURL, "")
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s %v", a.Status, a.Header)
	}
}
