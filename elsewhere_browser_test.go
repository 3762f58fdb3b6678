package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"
)

// elsewherePage tries on the server at {server}, by itself, what pages of other
// origins can: an image that starts work, fetches with and without the
// browser's credentials, and, by a button each, forms.
const elsewherePage = `<!doctype html><title>elsewhere</title><link rel=icon href=data:,>
<form id=form action="{server}/services/maths.add" method=post><input name=input.a value=1><input name=input.b value=2><button>Send</button></form>
<form id=plain action="{server}/v1/services/maths.add/jobs" method=post enctype="text/plain"><input name='{"input":{"a":1,"b":2},"metadata":{"x":"' value='"}}'><button>Send</button></form>
<form id=get action="{server}/math/1/2" method=get><button>Send</button></form>
<script>
const outcomes = {};
const note = (name, promise) => promise.then(v => outcomes[name] = v, e => outcomes[name] = e.name);
function attack() {
	for (const path of ["/sleep/1", "/math/1/2"]) {
		const image = new Image();
		image.onload = image.onerror = e => outcomes[path] = e.type;
		image.src = "{server}" + path;
	}
	const submit = { method: "POST", body: '{"input":{"a":1,"b":2}}', credentials: "include" };
	note("opaque", fetch("{server}/v1/services/maths.add/jobs", { ...submit, mode: "no-cors" }).then(r => r.type));
	note("cors", fetch("{server}/v1/services/maths.add/jobs", { ...submit, headers: { "Content-Type": "application/json" } }).then(r => r.status));
	note("list", fetch("{server}/v1/jobs", { credentials: "include" }).then(r => r.status));
	return true;
}
</script>`

// A page of another origin, which the operator happens to look at, starts no
// work and reads nothing, by whatever way; with a job's token it reads that
// job, and watches it.
func TestElsewhere(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, strings.ReplaceAll(elsewherePage, "{server}", s.at("")))
	}))
	t.Cleanup(elsewhere.Close)
	b := newBrowser(t)
	for name, page := range map[string]string{
		"another port": elsewhere.URL,
		"another site": strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1),
	} {
		t.Run(name, func(t *testing.T) {
			b := b.tab(t)
			b.open(page)
			b.until(`attack()`)
			b.until(`Object.keys(outcomes).length === 5`)
			for outcome, want := range map[string]string{"/sleep/1": "error", "/math/1/2": "error", "opaque": "opaque", "cors": "TypeError", "list": "TypeError"} {
				if got := eval[string](b, fmt.Sprintf("String(outcomes[%q])", outcome)); got != want {
					t.Errorf("%s came to %s, want %s", outcome, got, want)
				}
			}
			for _, form := range []string{"form", "plain", "get"} {
				b.open(page)
				b.click("#" + form + " button")
				b.until(`location.origin === "` + s.at("") + `" && document.body.innerText.includes("a page of another origin can't do this")`)
			}
			if jobs := s.run(`curl -s http://127.0.0.1:5000/v1/jobs`); !strings.Contains(jobs, `"data":[]`) {
				t.Errorf("elsewhere submitted %s", jobs)
			}
		})
	}

	job := s.submitted("sleep", `{"input": {"seconds": 1}}`, "status_url")
	b.open(elsewhere.URL)
	b.until(fmt.Sprintf(`note("job", fetch(%q).then(r => r.json()).then(j => j.service)) && true`, job))
	b.until(fmt.Sprintf(`(new EventSource(%q)).addEventListener("end", e => { outcomes.end = JSON.parse(e.data).job.status; e.target.close() }) || true`, job+"/events"))
	b.until(`outcomes.job === "sleep" && outcomes.end === "succeeded"`)
	b.quiet()
}

// Who opens what needs credentials is asked by the browser's own dialog, whose
// answer is HTTP Basic.
func TestBasicDialog(t *testing.T) {
	s := newShell(t)
	hash := strings.TrimSpace(s.run(`echo 'correct horse battery staple' | coatcheck hash-password`))
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte("httpauth:\n  alice: \""+hash+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config config.yaml")
	s.ready()
	b := newBrowser(t)
	asked := b.answerDialogs("alice", "correct horse battery staple")
	b.open(s.at("/sleep/0"))
	b.until(`document.body.innerText.includes("process started")`)
	b.open(s.at("/v1/jobs"))
	b.until(`JSON.parse(document.body.innerText).data.length === 1`)
	if got := asked(); fmt.Sprint(got) != "[Authentication Required]" {
		t.Errorf("asked for %q, want once", got)
	}
}

// answerDialogs types credentials into the browser's dialogs. asked returns
// what they asked for.
func (b *browser) answerDialogs(name, password string) (asked func() []string) {
	b.t.Helper()
	var mu sync.Mutex
	var realms []string
	yes := true
	ctx, cancel := context.WithCancel(b.ctx)
	call := func(fn func(ctx context.Context, t *chromedp.Target) error) {
		chromedp.Do(ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			return chromedp.Void{}, fn(ctx, t)
		})
	}
	var wg sync.WaitGroup
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	dialogs, paused := chromedp.Events(ctx, fetch.AuthRequired), chromedp.Events(ctx, fetch.RequestPaused)
	wg.Go(func() {
		for e, err := range dialogs {
			if err != nil {
				return
			}
			mu.Lock()
			realms = append(realms, e.AuthChallenge.Realm)
			mu.Unlock()
			call(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: e.RequestID, AuthChallengeResponse: &fetch.AuthChallengeResponse{
					Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: name, Password: password,
				}})
				return err
			})
		}
	})
	wg.Go(func() {
		for e, err := range paused {
			if err != nil {
				return
			}
			call(func(ctx context.Context, t *chromedp.Target) error {
				_, err := cdp.Call(ctx, t, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
				return err
			})
		}
	})
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &yes})
		return chromedp.Void{}, err
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return realms
	}
}
