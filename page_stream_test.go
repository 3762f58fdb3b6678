package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A weather stands between a browser and the server, and does to requests what
// networks and proxies do.
type weather struct {
	*httptest.Server
	streams atomic.Int64 // that are open
	opened  atomic.Int64 // that were opened in all
	// stream answers requests for events, and ask those for a status; nil
	// means that the server does.
	stream, ask atomic.Pointer[http.HandlerFunc]
}

// silentProxy returns a proxy that does not say that it is one: without users,
// the server would refuse its requests.
func silentProxy(target *url.URL) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
}

func newWeather(t *testing.T, addr string) *weather {
	t.Helper()
	w := new(weather)
	proxy := silentProxy(&url.URL{Scheme: "http", Host: addr})
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Host = addr // the server answers as localhost only, and names itself in links
		job, isJob := strings.CutPrefix(r.URL.Path, "/v1/jobs/")
		switch {
		case isJob && strings.HasSuffix(job, "/events"):
			w.opened.Add(1)
			w.streams.Add(1)
			defer w.streams.Add(-1)
			if h := w.stream.Load(); h != nil {
				(*h)(rw, r)
				return
			}
		case isJob && r.Method == http.MethodGet && w.ask.Load() != nil:
			(*w.ask.Load())(rw, r)
			return
		}
		if r.Header.Get("Origin") == w.URL {
			r.Header.Set("Origin", "http://"+addr)
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() {
		w.CloseClientConnections() // streams may be open
		w.Close()
	})
	return w
}

// answer makes requests be answered by h.
func answer(p *atomic.Pointer[http.HandlerFunc], h http.HandlerFunc) { p.Store(&h) }

// says answers a request with a status.
func says(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.WriteHeader(status)
	}
}

// events is a stream of its own making.
type events struct {
	http.ResponseWriter
	*http.Request
}

func stream(play func(e *events)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		e := &events{w, r}
		e.flush()
		play(e)
	}
}

func (e *events) flush() { http.NewResponseController(e.ResponseWriter).Flush() }

func (e *events) send(id, name, data string) {
	fmt.Fprintf(e.ResponseWriter, "event: %s\ndata: %s\n", name, data)
	if id != "" {
		fmt.Fprintf(e.ResponseWriter, "id: %s\n", id)
	}
	fmt.Fprint(e.ResponseWriter, "\n")
	e.flush()
}

func (e *events) line(id, text string) {
	e.send(id, "log", fmt.Sprintf(`{"type": "log", "level": "info", "message": %q, "at": "2026-11-24T10:00:00.000Z"}`, text))
}

// hold keeps the stream open until the browser leaves.
func (e *events) hold() { <-e.Request.Context().Done() }

const logText = `document.querySelector("#log").textContent`

// lostStream is what Chromium's console says of a stream that breaks.
var lostStream = []string{"ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"}

// TestPageStream has a test for each thing that an EventSource does not do.
func TestPageStream(t *testing.T) {
	s := newShell(t)
	s.env = append(s.env, "CONCURRENCY=100") // jobs that sleep for long
	s.start("coatcheck")
	s.ready()
	first := newBrowser(t)
	run := func(name string, test func(t *testing.T, w *weather, b *browser, page string)) {
		t.Run(name, func(t *testing.T) {
			w := newWeather(t, s.addr)
			// It has not begun, so its own log and events do not meddle.
			test(t, w, first.tab(t), w.URL+"/jobs/"+s.submitted("sleep", `{"input": {"seconds": 600}, "delay": "1h"}`, "id"))
		})
	}

	run("end", func(t *testing.T, w *weather, b *browser, _ string) {
		b.open(w.URL + "/jobs/" + s.submitted("sleep", `{"input": {"seconds": 1}}`, "id"))
		b.until(status + ` === "succeeded" && document.querySelector("job-progress").getAttribute("phase") === "ended"`)
		opened := w.opened.Load()
		b.until(fmt.Sprint(eval[float64](b, "performance.now()")) + ` + 1500 < performance.now()`) // an EventSource left alone would be back
		if w.streams.Load() != 0 || w.opened.Load() != opened {
			t.Errorf("%d streams are open, %d were opened after the end", w.streams.Load(), w.opened.Load()-opened)
		}
		b.quiet()
	})
	run("drop and resume", func(t *testing.T, w *weather, b *browser, page string) {
		// Every third line the stream breaks, and begins again a line early.
		answer(&w.stream, stream(func(e *events) {
			last := 0
			fmt.Sscanf(e.URL.Query().Get("after"), "2-%d", &last)
			for n := max(last-1, 1); n <= last+3; n++ {
				e.line(fmt.Sprintf("2-%d", n), fmt.Sprintf("line %d.", n))
			}
			if last < 9 {
				panic(http.ErrAbortHandler)
			}
			e.hold()
		}))
		b.open(page)
		b.until(logText + `.includes("line 12.")`)
		if got := eval[string](b, `[...document.querySelectorAll("#log > span")].map(s => s.textContent.match(/line (\d+)/)[1]).join()`); got != "1,2,3,4,5,6,7,8,9,10,11,12" {
			t.Errorf("got lines %s", got)
		}
		b.quiet(lostStream...)
	})
	run("a gap is said", func(_ *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, stream(func(e *events) {
			e.line("2-1", "first.")
			e.send("2-9", "snapshot", `{"type": "snapshot", "job": {"status": "running", "done": false, "progress": {"percent": 50, "message": ""}}}`)
			e.line("2-10", "tenth.")
			e.hold()
		}))
		b.open(page)
		b.until(logText + `.replace(/\s+/g, " ").match(/first\. … some lines may be missing here … .*tenth\./) !== null && ` + barValue + ` === 50`)
		b.quiet()
	})
	run("bad JSON is passed over", func(_ *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, stream(func(e *events) {
			e.send("2-1", "log", `{"message": `)
			e.send("2-2", "nonsense", `{}`)
			e.line("2-3", "third.")
			e.hold()
		}))
		b.open(page)
		b.until(logText + `.includes("third.") && ` + noteText + ` === "● Live"`)
		b.quiet()
	})
	run("gone", func(_ *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, says(404))
		answer(&w.ask, says(404))
		b.open(page)
		b.until(noteText + ` === "This job no longer exists."`)
		b.quiet("status of 404")
	})
	run("denied", func(t *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, says(401))
		answer(&w.ask, says(401))
		b.open(page)
		b.until(noteText + `.startsWith("This link is not valid")`)
		b.shot("denied")
		b.quiet("status of 401")
	})
	run("a wrong token, a wrong URL, and a failure", func(_ *testing.T, w *weather, b *browser, page string) {
		b.open(page)
		b.do(chromedp.Evaluate[chromedp.Void](`for (const [id, events] of Object.entries({
			forged: "` + w.URL + `/v1/jobs/job_00000000000000000000000000.00000000000000000000000000/events",
			elsewhere: "` + w.URL + `/v1/services/events", unusable: "http://[", scheme: "about:blank", empty: "" })) {
			const p = Object.assign(document.createElement("job-progress"), { id, textContent: "Watch" });
			p.setAttribute("events", events);
			document.querySelector("main").append(p); }`))
		for id, want := range map[string]string{"forged": "denied", "elsewhere": "invalid", "unusable": "invalid", "scheme": "invalid"} {
			b.until(fmt.Sprintf(`document.getElementById(%q).getAttribute("phase") === %q`, id, want))
		}
		b.until(`document.getElementById("empty").innerText.includes("Watch") && document.getElementById("empty").getAttribute("phase") === null`)
		b.until(`document.getElementById("unusable").shadowRoot.querySelector("slot").hidden === false`)
		b.shot("unusable")
		id := page[strings.LastIndexByte(page, '/')+1:]
		s.run(`curl -s http://127.0.0.1:5000/v1/jobs/` + id + `/cancel --json '{"reason": "not needed"}'`)
		b.until(status + ` === "canceled" && ` + noteText + `.includes("not needed")`)
		b.shot("failure")
		b.quiet("status of 404", "status of 406")
	})
	run("503 and Retry-After", func(t *testing.T, w *weather, b *browser, page string) {
		begin := time.Now()
		answer(&w.stream, says(503))
		answer(&w.ask, func(rw http.ResponseWriter, r *http.Request) {
			w.stream.Store(nil)
			says(503, "Retry-After", "2")(rw, r)
		})
		b.open(page)
		b.until(noteText + `.startsWith("▲ Connection lost; retrying in 2 s")`)
		b.shot("lost")
		b.until(noteText + ` === "● Live"`)
		if took := time.Since(begin); took < 2*time.Second {
			t.Errorf("came back after %v", took)
		}
		b.quiet("status of 503")
	})
	run("a server that has no room opens and closes", func(t *testing.T, w *weather, b *browser, _ string) {
		answer(&w.stream, stream(func(*events) {}))
		b.open(w.URL + "/jobs/" + s.submitted("sleep", `{"input": {"seconds": 100}}`, "id"))
		b.until(noteText + `.startsWith("● Polling every")`) // after a few tries
		before := w.opened.Load()
		if before > 6 {
			t.Errorf("%d streams were opened", before)
		}
		b.until(barValue + ` > 0`)
		w.stream.Store(nil)
		b.until(noteText + ` === "● Live"`)
		b.quiet()
	})
	run("no streams at all", func(_ *testing.T, w *weather, b *browser, _ string) {
		// A proxy that lets no stream through: the job is asked for instead.
		answer(&w.stream, says(502))
		b.open(w.URL + "/jobs/" + s.submitted("sleep", `{"input": {"seconds": 6}}`, "id"))
		b.until(barValue + ` > 0 && ` + barValue + ` < 100`)
		b.until(status + ` === "succeeded" && ` + barValue + ` === 100`)
		b.quiet("status of 502")
	})
	run("silence", func(t *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, stream(func(e *events) { e.hold() })) // half open: nothing comes
		b.open(page)
		eval[bool](b, `import("/embed/v1/job-progress.js").then(({ JobStream }) => {
			window.phases = [];
			const s = new JobStream("`+strings.Replace(page, "/jobs/", "/v1/jobs/", 1)+`/events", undefined, { silence: 300, min: 100 });
			s.addEventListener("phase", e => phases.push(e.detail.phase));
			s.start();
			return true; })`)
		b.until(`phases.join().startsWith("connecting,live,stale,waiting,connecting,live,stale")`)
		b.quiet()
	})
	run("hidden and shown again", func(t *testing.T, w *weather, b *browser, url string) {
		b.open(url)
		b.until(noteText + ` === "● Live"`)
		other := b.tab(t) // in front of it
		other.open(w.URL + "/jobs")
		if eval[bool](b, "document.hidden") {
			t.Log("the tab is hidden by the other")
		} else {
			b.hide(true)
		}
		b.until(`document.querySelector("job-progress").getAttribute("phase") === "paused"`)
		for deadline := time.Now().Add(patience); w.streams.Load() != 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d streams are open in a hidden tab", w.streams.Load())
			}
		}
		b.hide(false)
		b.until(noteText + ` === "● Live"`)
		b.quiet()
		other.quiet()
	})
	run("ten pages in one tab, and back", func(t *testing.T, w *weather, b *browser, url string) {
		pages := []string{url}
		for range 9 {
			pages = append(pages, w.URL+"/jobs/"+s.submitted("sleep", `{"input": {"seconds": 600}}`, "id"))
		}
		for _, page := range pages {
			begin := time.Now()
			b.open(page)
			b.until(noteText + ` === "● Live"`)
			if took := time.Since(begin); took > 15*time.Second { // a browser out of connections hangs for more than 40 s
				t.Errorf("%s took %v", page, took)
			}
		}
		for deadline := time.Now().Add(patience); w.streams.Load() != 1; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d streams are open, want 1", w.streams.Load())
			}
		}
		b.do(chromedp.Evaluate[chromedp.Void]("history.back()"))
		b.until(`location.href === "` + pages[8] + `" && ` + noteText + ` === "● Live"`)
		b.quiet()
	})
	run("many in one page", func(t *testing.T, w *weather, b *browser, url string) {
		b.open(url)
		b.until(noteText + ` === "● Live"`)
		events := strings.Replace(url, "/jobs/", "/v1/jobs/", 1) + "/events"
		b.do(chromedp.Evaluate[chromedp.Void](`for (let i = 0; i < 7; i++) {
			const p = document.createElement("job-progress");
			p.setAttribute("events", "` + events + `");
			document.querySelector("main").append(p); }`))
		b.until(`document.querySelectorAll("job-progress[phase=live]").length === 3 && document.querySelectorAll("job-progress[phase=polling]").length === 5`)
		if n := w.streams.Load(); n != 3 {
			t.Errorf("%d streams are open, want 3", n)
		}
		b.quiet()
	})
	run("20,000 lines", func(t *testing.T, w *weather, b *browser, page string) {
		begin := time.Now()
		answer(&w.stream, stream(func(e *events) {
			for n := range 20_000 {
				fmt.Fprintf(e.ResponseWriter, "event: log\ndata: {\"level\":\"info\",\"message\":\"line %d.\",\"at\":\"2026-11-24T10:00:00.000Z\"}\nid: 2-%d\n\n", n+1, n+1)
			}
			e.flush()
			e.hold()
		}))
		b.open(page)
		b.until(`document.querySelector("#log").lastElementChild?.textContent.endsWith("line 20000.\n") && document.querySelector("#log").childElementCount === 5000`)
		b.until(`document.querySelector("#log-note").textContent === "15000 earlier lines are not shown."`)
		t.Logf("20,000 lines were drawn in %v", time.Since(begin).Round(10*time.Millisecond))
		b.until(`(l => l.scrollHeight - l.scrollTop - l.clientHeight < 24)(document.querySelector("#log"))`)
		b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#log").scrollTop = 0`)) // whoever reads above is left in peace
		b.until(`!document.querySelector("#log-newest").hidden`)
		b.click("#log-newest")
		b.until(`document.querySelector("#log-newest").hidden`)
		b.quiet()
	})
	run("two tabs", func(t *testing.T, w *weather, b *browser, _ string) {
		url := w.URL + "/jobs/" + s.submitted("sleep", `{"input": {"seconds": 5}}`, "id")
		other := b.tab(t)
		other.open(url)
		b.open(url)
		other.hide(false)
		b.hide(false)
		for _, tab := range []*browser{b, other} {
			tab.until(status + ` === "succeeded"`)
			tab.quiet()
		}
	})
	run("online again", func(_ *testing.T, w *weather, b *browser, page string) {
		answer(&w.stream, says(503))
		answer(&w.ask, says(503, "Retry-After", "3600"))
		b.open(page)
		b.until(noteText + `.startsWith("▲ Connection lost; retrying in 3600 s")`)
		w.stream.Store(nil)
		b.do(chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event("online"))`))
		b.until(noteText + ` === "● Live"`)
		b.quiet("status of 503")
	})
	run("the example in docs", func(t *testing.T, _ *weather, b *browser, _ string) {
		host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				http.ServeFileFS(rw, r, os.DirFS("docs/embed"), strings.TrimPrefix(r.URL.Path, "/"))
				return
			}
			page, err := os.ReadFile("docs/embed/index.html")
			if err != nil {
				panic(err)
			}
			rw.Header().Set("Content-Type", "text/html; charset=utf-8")
			rw.Write([]byte(s.ports.Replace(string(page))))
		}))
		t.Cleanup(host.Close)
		b.open(host.URL + "/?events=" + url.QueryEscape(s.submitted("sleep", `{"input": {"seconds": 2}}`, "events_url")))
		b.until(`document.querySelector("#heard").lastElementChild?.textContent.startsWith("job-phase {\"phase\":\"ended\"")`)
		b.until(`document.querySelector("#heard").textContent.includes("job-end {")`)
		b.shot("example")
		b.accessible("example")
		b.quiet("favicon")
	})
	run("elsewhere, under a policy of its own", func(t *testing.T, w *weather, b *browser, _ string) {
		link := s.submitted("sleep", `{"input": {"seconds": 3}}`, "events_url")
		host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			api := "http://" + s.addr
			rw.Header().Set("Content-Type", map[bool]string{true: "text/javascript", false: "text/html; charset=utf-8"}[r.URL.Path == "/host.js"])
			rw.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' "+api+"; connect-src "+api+"; style-src 'self'; img-src data:; require-trusted-types-for 'script'; trusted-types 'none'")
			if r.URL.Path == "/host.js" {
				fmt.Fprint(rw, `window.heard = []; for (const name of ["job-snapshot", "job-progress", "job-end"]) document.addEventListener(name, e => heard.push(e.type));`)
				return
			}
			fmt.Fprintf(rw, `<!doctype html><html lang="en"><title>Elsewhere</title><link rel="icon" href="data:,"><script src="/host.js"></script><script type="module" crossorigin src="%s/embed/v1/job-progress.js"></script><h1>Elsewhere</h1><job-progress events="%s">a link</job-progress>`, api, link)
		}))
		t.Cleanup(host.Close)
		b.open(host.URL)
		b.until(barValue + ` > 0`)
		b.shot("embedded")
		b.until(`document.querySelector("job-progress").getAttribute("state") === "succeeded" && ` + barValue + ` === 100 && heard.at(-1) === "job-end"`)
		b.quiet()
	})
}

// hide makes the tab believe that somebody looks, or nobody does.
func (b *browser) hide(hidden bool) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: !hidden})
		return chromedp.Void{}, err
	})
	if eval[bool](b, "document.hidden") != hidden {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, "hidden", { value: %t, configurable: true }); document.dispatchEvent(new Event("visibilitychange"))`, hidden)))
	}
}

// The server is killed under the page and comes back: the page says so, and
// goes on by itself to the job's end.
func TestPageServerKilled(t *testing.T) {
	s := newShell(t)
	server := s.command("exec coatcheck")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.ready()
	b := newBrowser(t)
	b.open(s.submitted("sleep", `{"input": {"seconds": 8}}`, "web_url"))
	b.until(barValue + ` > 5`)
	server.Process.Kill()
	server.Wait()
	b.until(noteText + `.startsWith("▲ Connection lost")`)
	b.shot("lost")
	s.start("coatcheck")
	b.until(`document.title.startsWith("succeeded") && ` + barValue + ` === 100`)
	b.quiet(lostStream...)
}
