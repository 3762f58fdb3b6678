package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// These tests are numbered as the behaviours that a stream must show; those
// that need Redis are in notify.

// raw opens a connection and writes a request.
func raw(t testing.TB, url, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

func path(url string) string {
	_, rest, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return "/" + rest
}

// waitFor waits until something is true.
func waitFor(t testing.TB, what string, limit time.Duration, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// Headers and retry come before any event, and each frame is whole: event,
// data, and the id last.
func TestStreamHeadersFramesAndRetry(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"delay":"1h"}`) // nothing happens to it
	start := time.Now()
	conn := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := resp.Body.Read(b)
	if took := time.Since(start); err != nil || took > time.Second {
		t.Fatalf("begins after %s, %v", took, err)
	}
	m := regexp.MustCompile(`^retry: (\d+)\n\n`).FindStringSubmatch(string(b[:n]))
	if m == nil {
		t.Fatalf("begins with %q", b[:n])
	}
	if ms, _ := strconv.Atoi(m[1]); ms < 2000 || ms > 5000 {
		t.Errorf("retry: %d", ms)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Content-Encoding": "", "Content-Length": "", "Connection": "",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if n <= len(m[0]) {
		more, err := resp.Body.Read(b[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	if frame := string(b[len(m[0]):n]); !regexp.MustCompile(`^event: snapshot\ndata: \{"type":"snapshot".*\}\nid: 1-0\n\n$`).MatchString(frame) {
		t.Errorf("first frame = %q", frame)
	}
}

// A viewer goes on after what it saw last, however it says so, on any server.
func TestStreamResume(t *testing.T) {
	t.Parallel()
	redisURL, prefix := jobstest.RedisURL(t), t.Name()+strconv.FormatInt(time.Now().UnixNano(), 36)
	url := jobstest.PostgresURL(t)
	hub := func() *notify.Hub {
		h, err := notify.NewRedisHub(redisURL, prefix, slogDiscard)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a := newFixture(t, jobstest.Open(t, url), options{hub: hub()})
	b := newFixture(t, jobstest.Open(t, url), options{hub: hub()})
	job := a.submit(t, "chatter", `{"input":{"chunks":50,"size":10,"pause":2}}`)
	all := a.collect(t, job.EventsURL)
	there := b.URL + path(job.EventsURL)
	for i, e := range all[1 : len(all)-1] {
		if e.id == "" || i%7 != 0 {
			continue
		}
		want := fmt.Sprint(ids(all[i+2:]))
		for name, got := range map[string][]event{
			"header":     b.collect(t, there, "Last-Event-ID: "+e.id),
			"parameter":  b.collect(t, there+"?after="+e.id),
			"polyfill":   b.collect(t, there+"?last_event_id="+e.id),
			"polyfill 2": b.collect(t, there+"?lastEventId="+e.id),
			"both":       b.collect(t, there+"?after=1-0", "Last-Event-ID: "+e.id),
		} {
			if fmt.Sprint(ids(got)) != want {
				t.Errorf("%s: after %s come %v, want %s", name, e.id, ids(got), want)
			}
		}
	}
}

func ids(events []event) (ids []string) {
	for _, e := range events {
		ids = append(ids, e.id)
	}
	return ids
}

// collect returns the events until the stream ends.
func (f *fixture) collect(t testing.TB, url string, headers ...string) (events []event) {
	t.Helper()
	for e := range f.watch(t, url, headers...).events {
		events = append(events, e)
	}
	return events
}

// An id that is unknown, from the future or nonsense gets a snapshot.
func TestStreamUnknownLastEventID(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	waitFor(t, "progress", 10*time.Second, func() bool { return strings.Contains(f.do(t, "GET", job.StatusURL, "").body, "frame 80/200") })
	for _, id := range []string{"999-0", "2-999999", "0-0", "1-7", "x", "-", "2-", strings.Repeat("9", 1000), "18446744073709551616-0"} {
		v := f.watch(t, job.EventsURL, "Last-Event-ID: "+id)
		if v.StatusCode != 200 {
			t.Errorf("%q: %s", id, v.Status)
		} else if e := v.next(t); e.name != "snapshot" || (e.id == "") != (id == "2-999999") { // which might have been
			t.Errorf("%q: %+v", id, e)
		}
		v.Body.Close()
	}
}

// Whoever may not watch learns it before the stream, as a problem that pages
// of other origins can read too.
func TestStreamProblemsAndCORS(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
	job := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, alice, "Prefer: wait=20")
	events := path(job.EventsURL)
	byID := "/v1/jobs/" + job.ID + "/events"
	for _, test := range []struct {
		method, path string
		headers      []string
		status       int
		code         string
	}{
		{"GET", strings.Replace(events, string(job.Token), tamperedToken(string(job.Token)), 1), nil, 404, "not-found"},
		{"GET", byID, nil, 401, "unauthorized"},
		{"GET", byID, []string{bob}, 404, "not-found"},
		{"POST", events, nil, 405, "method-not-allowed"},
		{"GET", events, []string{"Accept: application/json"}, 406, "not-acceptable"},
		{"GET", events + "?since=1-0", nil, 422, "invalid-input"},
		{"GET", "/v1/events", nil, 401, "unauthorized"},
		{"GET", "/v1/events", []string{alice}, 422, "invalid-input"},
		{"GET", "/v1/events?job=" + job.ID, nil, 401, "unauthorized"},
		{"GET", "/v1/events?job=" + job.ID, []string{bob}, 404, "not-found"},
		{"GET", "/v1/events?job=" + string(job.Token) + "&job=" + tamperedToken(string(job.Token)), nil, 404, "not-found"},
		{"GET", "/v1/events?job=x" + strings.Repeat("&job=x", 100), []string{alice}, 422, "invalid-input"},
	} {
		a := f.do(t, test.method, test.path, "", test.headers...)
		if p := a.problem(t); a.StatusCode != test.status || p.Code != test.code {
			t.Errorf("%s %s: %s %s", test.method, test.path, a.Status, a.body)
		}
		byToken := strings.Contains(test.path, ".")
		if got := a.Header.Get("Access-Control-Allow-Origin") == "*"; got != byToken {
			t.Errorf("%s %s: open to other origins: %t", test.method, test.path, got)
		}
	}
	if a := f.do(t, "GET", "/v1/events?job="+string(job.Token)+"&job="+tamperedToken(string(job.Token)), ""); !strings.Contains(a.body, `"location":"query.job[1]"`) {
		t.Errorf("which job it is: %s", a.body)
	}
	if a := f.do(t, "GET", events, "", "Last-Event-ID: "+job.LastEventID, "Origin: https://page.example"); a.StatusCode != 204 || a.Header.Get("Access-Control-Allow-Origin") != "*" || a.body != "" {
		t.Errorf("past the end: %s %v", a.Status, a.Header)
	}
	if a := f.do(t, "HEAD", events, ""); a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s %v", a.Status, a.Header)
	}
	if strings.Contains(f.log.String(), string(job.Token)) {
		t.Error("a token is in the log")
	}
}

// What is too much is sent away: an EventSource so that it comes back, others
// with a problem.
func TestStreamLimits(t *testing.T) {
	t.Parallel()
	credentials, keys := aliceAndBob(t)
	proxy := func(c *api.Config) { c.TrustedProxies = loopback }
	from := func(ip string) string { return "X-Forwarded-For: 192.0.2.1, " + ip }
	for _, test := range []struct {
		limit         string
		config        func(*api.Config)
		first, second []string // the second is one too many
		other         []string // is not
	}{
		{"total", func(c *api.Config) { c.Streams.Total = 1 }, nil, nil, nil},
		{"job", func(c *api.Config) { c.Streams.PerJob = 1 }, nil, nil, nil},
		{"address", func(c *api.Config) { c.Streams.PerAddress = 1 }, []string{from("203.0.113.1")}, []string{from("203.0.113.1")}, []string{from("203.0.113.2")}},
		{"address", func(c *api.Config) { c.Streams.PerAddress = 1 }, []string{from("2001:db8::1")}, []string{from("2001:db8::2")}, []string{from("2001:db8:0:1::1")}},
		{"user", func(c *api.Config) { c.Streams.PerUser = 1 }, []string{"Authorization: Bearer " + keys["alice"]}, []string{"Authorization: Bearer " + keys["alice"]}, []string{"Authorization: Bearer " + keys["root"]}},
	} {
		t.Run(test.limit, func(t *testing.T) {
			f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { proxy(c); test.config(c) }})
			job := f.submit(t, "hold", `{"input":{}}`, "Authorization: Bearer "+keys["alice"])
			url := job.EventsURL
			if test.limit == "user" {
				url = f.URL + "/v1/jobs/" + job.ID + "/events"
			}
			first := f.watch(t, url, test.first...)
			first.next(t)
			if a := f.do(t, "GET", url, "", test.second...); a.StatusCode != 200 || a.body != "retry: 15000\n\n" || a.Header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("one too many: %s %q", a.Status, a.body)
			}
			a := f.do(t, "GET", url, "", append(test.second, "Accept: application/x-ndjson")...)
			if a.StatusCode != 503 || a.problem(t).Code != "unavailable" || a.Header.Get("Retry-After") != "15" {
				t.Errorf("one too many, in lines: %s %s", a.Status, a.body)
			}
			if test.other != nil {
				f.watch(t, url, test.other...).next(t)
			}
			if a := f.do(t, "GET", "/metrics", "", "Authorization: Bearer "+keys["root"]); !strings.Contains(a.body, `coatcheck_streams_refused_total{limit="`+test.limit+`"} 2`) {
				t.Errorf("not counted: %s", regexp.MustCompile("(?m)^coatcheck_streams.*").FindString(a.body))
			}
			first.cancel()
			waitFor(t, "the place is free again", 5*time.Second, func() bool {
				v := f.watch(t, url, test.second...)
				_, ok := <-v.events
				v.cancel()
				return ok
			})
		})
	}
}

// A quiet stream says that it is alive, and only then.
func TestStreamHeartbeat(t *testing.T) {
	t.Parallel()
	const interval = 200 * time.Millisecond
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Ping = interval }})
	quiet := f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"delay":"1h"}`)
	v := f.watch(t, quiet.EventsURL)
	v.next(t)
	last := time.Now()
	for range 5 {
		e := <-v.events
		if e.name != "ping" || e.id != "" || e.data != "{}" {
			t.Fatalf("%+v", e)
		}
		if since := time.Since(last); since < interval/2 || since > 10*interval {
			t.Errorf("ping after %s", since)
		}
		last = time.Now()
	}
	v.cancel()
	busy := f.submit(t, "chatter", `{"input":{"chunks":50,"size":1,"pause":20}}`)
	v = f.watch(t, busy.EventsURL)
	last = time.Now()
	for e := range v.events {
		if since := time.Since(last); e.name == "ping" && since < interval/2 { // a busy machine may make events wait
			t.Errorf("a ping %s after an event", since)
		}
		last = time.Now()
	}
}

// A viewer that left is noticed at once, and nothing is kept for it.
func TestStreamViewerDisconnects(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Ping, c.Streams.Stall = 100*time.Millisecond, time.Second }})
	job := f.submit(t, "hold", `{"input":{}}`)
	v := f.watch(t, job.EventsURL)
	v.next(t)
	if got := f.hub.Watched(); !slices.Contains(got, job.ID) {
		t.Fatalf("watched: %v", got)
	}
	v.cancel()
	gone := func() bool { return len(f.hub.Watched()) == 0 }
	waitFor(t, "the viewer is gone", time.Second, gone)
	// net/http does not see the end of a connection behind a byte that it has
	// not read; a ping that can't be written does.
	conn := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\n\r\nG")
	waitFor(t, "the viewer is there", 5*time.Second, func() bool { return !gone() })
	conn.Close()
	waitFor(t, "the viewer with one byte more is gone", 5*time.Second, gone)
}

// A viewer that reads nothing is cut off, and costs neither other viewers nor
// who publishes.
func TestStreamStalledViewer(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Stall = 3 * time.Second }})
	job := f.submit(t, "chatter", `{"input":{"chunks":1000,"size":16000,"pause":5}}`)
	healthy := f.watch(t, job.EventsURL)
	healthy.next(t)
	stalled := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	stalled.(*net.TCPConn).SetReadBuffer(4096)
	waitFor(t, "two viewers", 5*time.Second, func() bool { return f.streams(t) == 2 })
	var worst time.Duration
	last := time.Now()
	cut := time.Time{}
	for e := range healthy.events {
		worst = max(worst, time.Since(last))
		last = time.Now()
		if cut.IsZero() && strings.Contains(e.data, `"index"`) && f.streams(t) == 1 {
			cut = time.Now()
		}
	}
	if cut.IsZero() {
		t.Error("the stalled viewer was not cut off")
	}
	if worst > 2*time.Second { // it would be three
		t.Errorf("the healthy viewer waited %s", worst)
	}
}

// streams returns how many streams are open.
func (f *fixture) streams(t testing.TB) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^coatcheck_streams (\d+)$`).FindStringSubmatch(f.do(t, "GET", "/metrics", "").body)
	n, _ := strconv.Atoi(m[1])
	return n
}

// A viewer that reads too slowly, but reads, gets a snapshot for what it
// missed, and ids that grow.
func TestStreamConflation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Stall = time.Minute }})
	job := f.submit(t, "chatter", `{"input":{"chunks":600,"size":16000,"pause":1}}`)
	conn := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	waitFor(t, "the job's end", 20*time.Second, func() bool { return strings.Contains(f.do(t, "GET", job.StatusURL, "").body, `"done":true`) })
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	v := newViewer(t, resp, func() { conn.Close() })
	var last notify.ID
	names := make(map[string]int)
	for e := range v.events {
		names[e.name]++
		if e.id == "" {
			continue
		}
		id, err := notify.ParseID(e.id)
		if err != nil || id.Compare(last) <= 0 {
			t.Fatalf("%s follows %s, %v", e.id, last, err)
		}
		last = id
	}
	if names["snapshot"] < 2 || names["end"] != 1 || names["output"] >= 600 {
		t.Errorf("events: %v", names)
	}
}

// A server that bounds how long answers take does not bound streams.
func TestStreamOutlivesWriteTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	server := httptest.NewUnstartedServer(f.api)
	server.Config.WriteTimeout, server.Config.ReadTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	defer server.Close()
	job := f.submit(t, "sleep", `{"input":{"seconds":1.5}}`)
	events := f.collect(t, server.URL+path(job.EventsURL))
	if last := events[len(events)-1]; last.name != "end" {
		t.Errorf("ends with %+v", last)
	}
}

// A stream does not last for ever; its viewer goes on without a loss.
func TestStreamMaxAge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Age = 200 * time.Millisecond }})
	job := f.submit(t, "chatter", `{"input":{"chunks":100,"size":1,"pause":10}}`)
	var got []event
	streams := 0
	for after := "1-0"; len(got) == 0 || got[len(got)-1].name != "end"; streams++ {
		start := time.Now()
		v := f.watch(t, job.EventsURL, "Last-Event-ID: "+after)
		for e := range v.events {
			got = append(got, e)
			after = e.id
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("a stream took %s", took)
		}
		if v.clean != nil {
			t.Errorf("the stream broke off: %v", v.clean)
		}
	}
	outputs := 0
	for _, e := range got {
		if e.name == "output" {
			if !strings.Contains(e.data, fmt.Sprintf(`"index":%d,`, outputs)) {
				t.Fatalf("output %d is %s", outputs, e.data)
			}
			outputs++
		}
		if e.name == "snapshot" {
			t.Error("a snapshot")
		}
	}
	if outputs != 100 || streams < 4 {
		t.Errorf("%d outputs on %d streams", outputs, streams)
	}
}

// A server that stops sends its viewers away, one after the other, and nobody
// stays.
func TestStreamDrain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	var viewers []*viewer
	for range 100 {
		viewers = append(viewers, f.watch(t, job.EventsURL))
	}
	waitFor(t, "all viewers", 20*time.Second, func() bool { return f.streams(t) == len(viewers) })
	start := time.Now()
	f.api.Drain()
	for _, v := range viewers {
		for range v.events {
		}
		if ms, _ := strconv.Atoi(v.retry); v.clean != nil || ms < 1000 || ms > 2000 {
			t.Fatalf("ends with retry %s, %v", v.retry, v.clean)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("drained after %s", took)
	}
}

// Viewers that come and go leave nothing behind.
func TestStreamLeaksNoGoroutines(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	transport := &http.Transport{MaxConnsPerHost: 50}
	defer transport.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				req, _ := http.NewRequestWithContext(ctx, "GET", job.EventsURL, nil)
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
				} else {
					resp.Body.Read(make([]byte, 10))
					resp.Body.Close()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	waitFor(t, "all viewers gone", 5*time.Second, func() bool { return len(f.hub.Watched()) == 0 })
	waitFor(t, "no goroutine of a stream", 10*time.Second, func() bool {
		stacks := make([]byte, 4<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "api.(*stream)")
	})
}

// Whenever a viewer comes, it misses nothing and gets nothing twice.
func TestStreamSubscribeAtAnyTime(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		job := f.submit(t, "chatter", `{"input":{"chunks":200,"size":1,"pause":2}}`)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				var last notify.ID
				outputs := -1
				events := f.collect(t, job.EventsURL)
				for _, e := range events {
					if e.id == "" {
						continue
					}
					id, err := notify.ParseID(e.id)
					if err != nil || id.Compare(last) <= 0 || last.N > 0 && id.Version == last.Version && id.N != last.N+1 {
						t.Errorf("%s follows %s, %v", e.id, last, err)
					}
					last = id
					var index int
					if e.name == "output" {
						fmt.Sscanf(e.data, `{"type":"output","index":%d`, &index)
						if outputs >= 0 && index != outputs+1 {
							t.Errorf("output %d follows %d", index, outputs)
						}
						outputs = index
					}
				}
				if len(events) == 0 || events[len(events)-1].name != "end" {
					t.Error("no end")
				}
			})
			time.Sleep(20 * time.Millisecond) // viewers come over the job's whole time
		}
		wg.Wait()
	})
}

// Over HTTP/2, with and without TLS, a connection carries many streams, and
// one that stands still does not stop the others.
func TestStreamHTTP2(t *testing.T) {
	t.Parallel()
	const streams = 100
	f := newFixture(t, jobstest.SQLite(t), options{})
	for _, scheme := range []string{"https", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			server := httptest.NewUnstartedServer(f.api)
			server.EnableHTTP2 = true
			transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			if scheme == "h2c" {
				server.Config.Protocols = new(http.Protocols)
				server.Config.Protocols.SetUnencryptedHTTP2(true)
				transport.Protocols = new(http.Protocols)
				transport.Protocols.SetUnencryptedHTTP2(true)
				server.Start()
			} else {
				server.StartTLS()
			}
			var mu sync.Mutex
			conns := make(map[net.Addr]bool)
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					mu.Lock()
					conns[conn.LocalAddr()] = true
					mu.Unlock()
				}
				return conn, err
			}
			t.Cleanup(server.Close)
			t.Cleanup(transport.CloseIdleConnections)
			large := f.submit(t, "chatter", `{"input":{"chunks":500,"size":16000,"pause":2}}`)
			stalled := f.watchVia(t, transport, server.URL+path(large.EventsURL), false)
			quiet := f.submit(t, "sleep", `{"input":{"seconds":3600}}`)
			var viewers []*viewer
			for range streams - 1 {
				viewers = append(viewers, f.watchVia(t, transport, server.URL+path(quiet.EventsURL), true))
			}
			for _, v := range viewers {
				v.next(t)
			}
			f.do(t, "POST", quiet.CancelURL, "")
			for _, v := range viewers {
				if v.ProtoMajor != 2 || v.Header.Get("Connection") != "" {
					t.Fatalf("%s %v", v.Proto, v.Header)
				}
				names := v.names(t)
				if len(names) == 0 || names[len(names)-1] != "end" || v.clean != nil {
					t.Fatalf("events %v, %v", names, v.clean)
				}
			}
			if len(conns) != 1 {
				t.Errorf("%d connections", len(conns))
			}
			stalled.cancel()
		})
	}
}

// A stream over HTTP/2 may be quiet for longer than a write may take.
func TestStreamIdleHTTP2(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Stall = time.Second }})
	server := httptest.NewUnstartedServer(f.api)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	job := f.submit(t, "sleep", `{"input":{"seconds":0},"delay":"2500ms"}`)
	v := f.watchVia(t, server.Client().Transport, server.URL+path(job.EventsURL), true)
	if names := v.names(t); v.ProtoMajor != 2 || v.clean != nil || names[len(names)-1] != "end" {
		t.Errorf("%s: %v, %v", v.Proto, names, v.clean)
	}
	v.cancel()
}

// HTTP/1.0, as nginx speaks it to servers, gets the stream up to the end of
// the connection, without chunks.
func TestStreamHTTP10(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "sleep", `{"input":{"seconds":0.3}}`)
	b, err := io.ReadAll(raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.0\r\nHost: localhost\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(b), "\r\n\r\n")
	if strings.Contains(head, "Transfer-Encoding") || !strings.HasPrefix(body, "retry: ") || !regexp.MustCompile(`event: end\ndata: .*\nid: \d+-0\n\n$`).MatchString(body) {
		t.Errorf("%s\n\n%s", head, body)
	}
}
