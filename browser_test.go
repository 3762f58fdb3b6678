package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// A browser is a tab of a headless Chromium. The test fails when anything goes
// wrong in its pages, above all when the Content-Security-Policy forbids what
// they do.
type browser struct {
	t       *testing.T
	ctx     context.Context
	mu      sync.Mutex
	trouble []string
}

// newBrowser skips the test where there is no browser.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("REQUIRE_BROWSER") == "1" {
			t.Fatal("REQUIRE_BROWSER=1 and no chromium (apt-get install chromium)")
		}
		t.Skip("no chromium: the page is not tested in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-GB"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	return newTab(ctx, t)
}

// tab opens another tab of the same browser.
func (b *browser) tab(t *testing.T) *browser {
	t.Helper()
	return newTab(b.ctx, t)
}

func newTab(parent context.Context, t *testing.T) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1000, 900))
	var wg sync.WaitGroup
	exceptions, entries := chromedp.Events(ctx, runtime.ExceptionThrown), chromedp.Events(ctx, log.EntryAdded)
	wg.Go(func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			text := e.ExceptionDetails.Text
			if e.ExceptionDetails.Exception != nil {
				text += " " + e.ExceptionDetails.Exception.Description
			}
			b.note("exception: " + text)
		}
	})
	wg.Go(func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			b.note(fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return b
}

func (b *browser) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble = append(b.trouble, s)
}

// quiet fails the test if there was trouble other than what is expected.
func (b *browser) quiet(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, s := range b.trouble {
		for _, e := range expected {
			if strings.Contains(s, e) {
				continue next
			}
		}
		b.t.Errorf("the browser says: %s", s)
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if b.ctx.Err() == nil && chromedp.FromContext(b.ctx).Target == nil {
		ctx = b.ctx // the first one opens the tab, which lives as long as its context
	}
	err := chromedp.Do(ctx, actions...)
	for replaced(err) {
		err = chromedp.Do(ctx, actions...)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// replaced reports whether an action failed because its element was found and
// then replaced, as the page's own refresh does.
func replaced(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "No node with given id") || strings.Contains(err.Error(), "Could not find node"))
}

// open leads the tab to a URL.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// click clicks on what a selector of CSS names.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// until waits until a JavaScript expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression)) // fails while a page is left
		if ok {
			return
		}
		if time.Now().After(deadline) {
			b.shot("failed")
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
			b.t.Fatalf("%s is not true (%v) in\n%s", expression, err, text)
		}
	}
}

// eval returns what a JavaScript expression, or the promise that it is,
// becomes.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// emulate makes the tab as wide as a phone or a desk, and light or dark.
func (b *browser) emulate(width int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 900), func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return chromedp.Void{}, err
	})
}

// scripts switches JavaScript off or on, for pages to come.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return chromedp.Void{}, err
	})
}

// shot writes a screenshot when SHOTS names a directory.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(b.t.Name(), "/", "-")+"-"+name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// axeVersion is the version of axe-core that pages are checked with.
const axeVersion = "4.14.1"

// axe returns axe-core, which npm installs for the test, or "" where there is
// no npm or no registry.
var axe = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "axe")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	retries := "0" // without a network, it is not waited for
	if os.Getenv("REQUIRE_BROWSER") == "1" {
		retries = "2"
	}
	if out, err := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries="+retries, "axe-core@"+axeVersion).CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install axe-core: %w: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(b), err
})

// accessible fails the test when axe-core finds fault with the page, or when
// it is wider than the window.
func (b *browser) accessible(name string) {
	b.t.Helper()
	if over := eval[float64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		wide := eval[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
		b.t.Errorf("%s: %v pixels wider than the window: %s", name, over, wide)
	}
	script, err := axe()
	if err != nil {
		if os.Getenv("REQUIRE_BROWSER") == "1" {
			b.t.Fatal(err)
		}
		b.t.Logf("accessibility not checked: %v", err)
		return
	}
	if !eval[bool](b, `"axe" in window`) {
		b.do(chromedp.Evaluate[chromedp.Void](script))
	}
	found := eval[json.RawMessage](b, `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html).slice(0, 3).join(" ")))`)
	var violations []string
	if err := json.Unmarshal(found, &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: axe: %s", name, v)
	}
}

// get returns an answer with its body.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	answer, status, err := do([]string{http.MethodGet, url})
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(answer, "\n\n")
	resp := &http.Response{StatusCode: status, Header: make(http.Header)}
	for line := range strings.SplitSeq(head, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			resp.Header.Add(name, value)
		}
	}
	return resp, body
}
