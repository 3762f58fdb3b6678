package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page of another origin watches jobs with the browser's own EventSource;
// what it gets is in seen, and each of its sources in sources.
const watchingPage = `<!doctype html><title>elsewhere</title><link rel=icon href=data:,><script>
const seen = [], sources = {};
function watch(name, url) {
	const source = sources[name] = new EventSource(url);
	for (const type of ["snapshot", "status", "progress", "log", "output", "end"])
		source.addEventListener(type, e => seen.push({name, type, id: e.lastEventId, data: JSON.parse(e.data)}));
	source.onmessage = e => seen.push({name, type: "message", data: e.data});
	return true;
}
const of = (name, type) => seen.filter(e => e.name === name && (!type || e.type === type));
function growing(name) { // an event without an id has the one before
	const ids = of(name).filter(e => e.id).map(e => e.id.split("-").map(Number));
	return ids.every(([v, n], i) => i === 0 || v > ids[i-1][0] || v === ids[i-1][0] && n >= ids[i-1][1]);
}
</script>`

func newWatchingPage(t *testing.T) *browser {
	t.Helper()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, watchingPage)
	}))
	t.Cleanup(elsewhere.Close)
	b := newBrowser(t)
	b.do(chromedp.Navigate(elsewhere.URL))
	return b
}

// submitJob submits a job with curl and returns where its events are.
func (s *shell) submitJob(service, body string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run(`curl -s http://127.0.0.1:5000/v1/services/` + service + `/jobs --json '` + body + `' | sed 's/.*"events_url":"//; s/".*//'`))
}

// The server is killed under an EventSource, which goes on by itself when it
// is back.
func TestEvents26BrowserServerKilled(t *testing.T) {
	s := newShell(t)
	server := s.command("exec coatcheck")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.ready()
	b := newWatchingPage(t)
	b.until(fmt.Sprintf(`watch("job", %q)`, s.submitJob("sleep", `{"input": {"seconds": 2}}`)))
	b.until(`of("job", "progress").length > 3`)
	server.Process.Kill()
	server.Wait()
	b.until(`sources.job.readyState === EventSource.CONNECTING`)
	s.start("coatcheck")
	b.until(`of("job", "end").length === 1 && of("job", "end")[0].data.job.status === "succeeded"`)
	b.until(`sources.job.readyState === EventSource.CLOSED && growing("job")`)
	b.quiet("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
}

// What the web-platform-tests of EventSource say of servers, against this one:
// request-accept, request-cache-control, request-status-error, format-mime-*,
// eventsource-reconnect, eventsource-cross-origin, cross-origin-preflight.
func TestEvents26BrowserAndServer(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	target, err := url.Parse("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	requests := make(map[string][]string) // by path: method, Accept, Last-Event-ID
	proxy := silentProxy(target)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(r *http.Response) error {
		mu.Lock()
		defer mu.Unlock()
		h := r.Request.Header
		requests[r.Request.URL.Path] = append(requests[r.Request.URL.Path], fmt.Sprintf("%s %s %s %d %s", r.Request.Method, h.Get("Accept"), h.Get("Cache-Control"), r.StatusCode, h.Get("Last-Event-ID")))
		return nil
	}
	front := httptest.NewServer(proxy)
	defer front.Close()
	b := newWatchingPage(t)
	there := func(eventsURL string) string { return strings.Replace(eventsURL, "http://"+s.addr, front.URL, 1) }

	job := there(s.submitJob("maths.add", `{"input": {"a": 3, "b": 4}, "delay": "500ms"}`))
	b.until(fmt.Sprintf(`watch("ends", %q)`, job))
	b.until(fmt.Sprintf(`watch("unknown", %q)`, strings.Replace(job, "/events", "x/events", 1)))
	b.until(`sources.unknown.readyState === EventSource.CLOSED`) // 404
	// After the end it comes back once, is told that there is no more, and stays away.
	b.until(`of("ends", "end").length === 1 && sources.ends.readyState === EventSource.CLOSED && growing("ends")`)
	u, _ := url.Parse(job)
	mu.Lock()
	got := fmt.Sprint(requests[u.Path])
	mu.Unlock()
	if want := "[GET text/event-stream no-cache 200  GET text/event-stream no-cache 204 "; !strings.HasPrefix(got, want) || strings.Count(got, "GET") != 2 || strings.Contains(got, "OPTIONS") {
		t.Errorf("requests: %s, want %s3-0]", got, want)
	}

	// Many jobs on one connection; its id is long, and asks first whether it
	// may be sent across origins.
	var refs []string
	for range 40 {
		refs = append(refs, "job="+strings.Split(s.submitJob("maths.add", `{"input": {"a": 3, "b": 4}, "delay": "300ms"}`), "/")[5])
	}
	b.until(fmt.Sprintf(`watch("many", %q)`, front.URL+"/v1/events?"+strings.Join(refs, "&")))
	b.until(`of("many", "end").length === 40 && new Set(of("many", "end").map(e => e.data.job_id)).size === 40`)
	b.until(`sources.many.readyState === EventSource.CLOSED && of("many", "end").at(-1).id.length > 128`)
	b.quiet("status of 404")
}
