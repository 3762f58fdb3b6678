package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	barValue = `document.querySelector("job-progress").shadowRoot.querySelector("progress").value`
	noteText = `document.querySelector("job-progress").shadowRoot.querySelector("[part=note]").textContent`
	status   = `document.querySelector("#job-status").textContent.trim()`
)

// submitted submits a job and returns a field of the answer.
func (s *shell) submitted(service, body, field string) string {
	s.t.Helper()
	out := s.run(`curl -s http://127.0.0.1:5000/v1/services/` + service + `/jobs --json '` + body + `'`)
	m := regexp.MustCompile(`"` + field + `":"([^"]*)"`).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatalf("no %s in %s", field, out)
	}
	return m[1]
}

// at returns a URL of the server's.
func (s *shell) at(path string) string { return "http://" + s.addr + path }

// A visitor finds the services on the first page, runs a job, by way of a mistake,
// and watches it to its end.
func TestPage(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.open(s.at("/"))
	b.click(`.empty a[href="/services"]`)
	b.do(chromedp.SetValue(chromedp.ID("input-seconds"), "-1"), chromedp.SetValue(chromedp.ID("input-name"), "Ada"))
	b.click("form button.main")
	b.until(`document.querySelector("#input-seconds-help .error")?.textContent === "expected at least 0"`)
	b.until(`document.querySelector("#input-name").value === "Ada" && document.querySelector("#input-seconds").getAttribute("aria-invalid") === "true"`)
	b.until(`document.activeElement.id === "input-seconds"`)
	b.shot("mistake")
	b.do(chromedp.SetValue(chromedp.ID("input-seconds"), "2"))
	b.click("form button.main")
	b.until(`location.pathname.startsWith("/jobs/job_")`)
	b.until(barValue + ` > 10 && ` + barValue + ` < 100 && ` + noteText + ` === "● Live"`)
	b.shot("running")
	b.until(`document.querySelector("#output")?.textContent === '"hello, Ada"'`)
	b.until(barValue + ` === 100 && document.title.startsWith("succeeded: sleep")`)
	b.until(`document.querySelector("ol.time").textContent.includes("Attempt 1 started") && document.querySelector("ol.time").textContent.includes("Succeeded")`)
	b.shot("succeeded")

	// Back leads to the form as it was sent.
	page := eval[string](b, "location.href")
	b.do(chromedp.Evaluate[chromedp.Void]("history.back()"))
	b.until(`document.querySelector("#input-seconds")?.value === "2" && document.querySelector("#input-name").value === "Ada"`)
	b.open(page)

	// Run again with changes.
	b.click(`a[href^="/services/sleep?from="]`)
	b.until(`document.querySelector("#input-name")?.value === "Ada" && document.querySelector("#input-seconds").value === "2"`)
	b.quiet("status of 422")
}

// A running job is canceled on its page and tried again.
func TestPageCancel(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.open(s.submitted("sleep", `{"input": {"seconds": 60}}`, "web_url"))
	b.until(`location.pathname.split(".").length === 1`) // the token is gone from the address of whoever can do more
	b.until(barValue + ` > 0`)
	b.click("details.ask summary")
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "not needed"))
	b.shot("asked")
	b.click("details.ask button")
	b.until(`document.querySelector("#result").textContent.includes("not needed")`)
	b.until(`[...document.querySelectorAll("#job-actions button")].map(b => b.textContent).join() === "Retry"`)
	b.shot("canceled")
	old := eval[string](b, `location.pathname`)
	b.click(`form[action$="/retry"] button`) // leads to a new job
	b.until(status + ` === "running" && document.querySelector("details.ask") !== null && location.pathname !== "` + old + `"`)
	b.until(`document.querySelector("ol.time").textContent.includes("Attempt 1 started")`)
	b.until(`"/jobs/" + [...document.querySelectorAll("dt")].find(e => e.textContent === "Retry of")?.nextElementSibling.textContent === "` + old + `"`)
	b.quiet()
}

// All jobs that match a filter are canceled, after their count was said, and
// then retried.
func TestPageBulk(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	for range 3 {
		s.submitted("sleep", `{"input": {"seconds": 600}, "tags": ["web"]}`, "id")
	}
	other := s.submitted("sleep", `{"input": {"seconds": 600}}`, "id")
	b := newBrowser(t)
	b.open(s.at("/jobs"))
	b.do(chromedp.SetValue(chromedp.CSS("input[name=q]"), "web"))
	b.click("form.filter button")
	b.until(`location.search.includes("q=web") && document.querySelectorAll("tbody tr").length === 3`)
	b.click(`a[href*="do=cancel"]`)
	b.until(`document.querySelector("#question")?.textContent === "Cancel 3 jobs?"`)
	b.shot("question")
	s.submitted("sleep", `{"input": {"seconds": 600}, "tags": ["web"]}`, "id") // after the question
	b.click(`button[value=cancel]`)
	b.until(`document.querySelector("[role=status]")?.textContent.startsWith("3 canceled.")`)
	b.until(`document.querySelectorAll("tbody .badge.canceled").length === 3 && document.querySelectorAll("tbody tr").length === 4`)
	b.click(`a[href*="do=retry"]`)
	b.until(`document.querySelector("#question")?.textContent === "Retry 3 jobs?"`)
	b.click(`button[value=retry]`)
	b.until(`document.querySelectorAll("tbody tr").length === 7 && document.querySelectorAll("tbody .badge.canceled").length === 3`)
	b.until(`document.querySelector("[role=status]").textContent.startsWith("Created 3 new jobs.")`)
	b.until(`[...document.querySelectorAll("tbody tr")].every(tr => (tr.querySelector("[href^='/jobs/'][title]") !== null) === (tr.querySelector(".badge.canceled") !== null))`)
	b.shot("retried")
	b.emulate(390, "dark")
	b.shot("retried on a phone")
	b.emulate(1280, "light")
	b.click(`tbody a[title]`) // the new job of an old one, which links back, and the other way around
	b.until(`document.querySelector("#side")?.textContent.includes("Retry of")`)
	b.click(`#side dd a[href^="/jobs/"]`)
	b.until(`document.querySelector("#side")?.textContent.includes("Retried as") && ` + status + ` === "canceled"`)
	b.shot("retried as")
	b.open(s.at("/jobs"))
	b.until(`[...document.querySelectorAll(".tabs a")].some(a => /^canceled\s+3$/.test(a.textContent))`)
	b.click(`.tabs a[href*="status=canceled"]`)
	b.until(`document.querySelector(".tabs [aria-current]")?.textContent.startsWith("canceled") && document.querySelectorAll("tbody tr").length === 3`)
	b.until(`document.querySelector("a[href*='do=retry']") !== null && document.querySelector("a[href*='do=cancel']") === null`)

	b.open(s.at("/jobs?status=queued")) // nothing is selected
	b.open(s.at("/jobs?text=SECONDS"))
	b.until(`document.querySelectorAll("tbody tr").length === 8 && document.querySelector("tbody").textContent.includes("seconds: 600")`)
	b.click(`button[value=cancel]`)
	b.until(`document.querySelector("#question")?.textContent === "No jobs are selected."`)
	b.open(s.at("/jobs?text=seconds"))
	b.click(`input[value="` + other + `"]`)
	b.click(`tbody tr:has(.badge.canceled) input`)
	b.shot("selected")
	b.accessible("selected")
	b.click(`button[value=cancel]`)
	b.until(`document.querySelector("#question")?.textContent === "Cancel 1 job?" && document.querySelector(".notice").textContent.includes("You selected 2")`)
	b.click(`button[value=cancel]`)
	b.until(`document.querySelector("[role=status]")?.textContent.startsWith("1 canceled.") && location.search.includes("text=seconds")`)
	b.until(`document.querySelector('tr:has(input[value="` + other + `"]) .badge.canceled') !== null`)
	b.open(s.at("/jobs?status=canceled"))

	b.do(chromedp.SetValue(chromedp.CSS("input[name=q]"), other)) // an id leads to its job
	b.click("form.filter button")
	b.until(`location.pathname === "/jobs/` + other + `"`)
	b.open(s.at("/jobs?status=expired"))
	b.until(`document.querySelector(".empty")?.textContent.includes("No matching jobs.")`)
	b.quiet()
}

// Lists stay fresh by themselves, and say so when they can't; what is open
// stays open.
func TestPageFresh(t *testing.T) {
	s := newShell(t)
	server := s.command("exec coatcheck")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	s.ready()
	b := newBrowser(t)
	b.open(s.at("/receiver"))
	b.click("form button.main")
	b.click(`form[action="/receiver/test"] button`)
	b.until(`document.querySelectorAll("#received details").length === 1`)
	first := eval[string](b, `document.querySelector("#received details").id`)
	b.click("#received summary")
	receiver := eval[string](b, `document.querySelector("#url").textContent`)
	other := b.tab(t)
	other.hide(false)
	b.hide(false)
	other.open(s.at("/jobs"))
	s.submitted("maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+`"}`, "id")
	b.until(`document.querySelectorAll("#received details").length === 2 && document.querySelector("#` + first + `").open && document.querySelector("#received summary").textContent.includes("job.succeeded")`)
	b.shot("received")
	other.until(`document.querySelector("tbody .badge.succeeded") !== null && document.querySelector("#fresh").checkVisibility()`)
	other.open(s.at("/deliveries"))
	other.until(`document.querySelectorAll("tbody .badge.delivered").length === 2`)
	b.click("button.copy")
	b.until(`["Copied", "Selected"].includes(document.querySelector("button.copy").textContent)`)
	server.Process.Kill()
	server.Wait()
	b.until(`document.querySelector("#connection.lost")?.textContent.startsWith("▲ Disconnected, last updated ") && !document.querySelector("#fresh").checkVisibility()`)
	b.until(`document.activeElement.matches("button.copy")`) // the banner does not take the focus
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(360, scheme)
		b.accessible("disconnected")
		b.shot("stale " + scheme)
	}
	s.start("coatcheck")
	b.until(`document.querySelector("#connection:not(.lost)").textContent === "● Connected again" && document.querySelector("#fresh").checkVisibility()`)
	b.shot("connected")
	b.until(`document.querySelector("#connection").textContent === ""`)
	b.quiet(lostStream...)
	other.quiet(lostStream...)
}

// screens are all pages of a server on which things have happened.
func screens(s *shell, b *browser) map[string]string {
	b.open(s.at("/receiver"))
	b.click("form button.main")
	b.until(`document.querySelector("#url") !== null`)
	receiver := eval[string](b, `document.querySelector("#url").textContent`)
	running := s.submitted("sleep", `{"input": {"seconds": 600}}`, "id")
	failed := s.submitted("maths.div", `{"input": {"a": 1, "b": 0}, "tags": ["web", "test"], "metadata": {"order": "A-17"}, "callback_url": "`+receiver+`"}`, "id")
	chain := s.submitted("maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+`", "callback_events": ["job.started", "job.succeeded"], "then": [{"service": "maths.add", "input": {"a": 100, "b": {"$output": ""}}}]}`, "id")
	s.submitted("sleep", `{"input": {"seconds": 1}, "delay": "1h"}`, "id")
	link := s.submitted("sleep", `{"input": {"seconds": 0, "name": "a viewer"}}`, "web_url")
	b.open(s.at("/jobs/" + chain))
	b.until(status + ` === "succeeded" && document.querySelectorAll("#callbacks .badge.delivered").length === 3`)
	delivery := eval[string](b, `document.querySelector("#callbacks a").getAttribute("href")`)
	b.open(s.at("/"))
	b.until(`document.querySelector("#overview rect.good") !== null && document.querySelector("#overview rect.bad") !== null`)
	return map[string]string{
		"overview": "/", "week": "/?range=week", "services": "/services", "json": "/services/maths.add?as=json", "jobs": "/jobs", "no-match": "/jobs?tag=none&status=expired", "question": "/jobs?do=cancel", "running": "/jobs/" + running,
		"failed": "/jobs/" + failed, "chain": "/jobs/" + chain, "deliveries": "/deliveries", "delivery": delivery, "receiver": "/receiver", "system": "/system", "settings": "/settings",
		"not-found": "/jobs/job_nope", "docs": "/docs", "share": strings.TrimPrefix(link, s.at("")),
	}
}

// Every screen is accessible and fits, light and dark, on a desk and on a
// phone.
func TestPageScreens(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	for name, path := range map[string]string{"nothing": "/", "no-jobs": "/jobs", "no-deliveries": "/deliveries", "no-receiver": "/receiver", "idle": "/system"} {
		b.open(s.at(path))
		b.shot(name)
		b.accessible(name)
	}
	for name, path := range screens(s, b) {
		b.open(s.at(path))
		for _, look := range []struct {
			width  int64
			scheme string
		}{{1200, "light"}, {360, "dark"}, {360, "light"}, {1200, "dark"}} {
			b.emulate(look.width, look.scheme)
			b.do(chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("main details:not(.ask, [name])")) d.open = !document.querySelector("#docs-open")`))
			at := name + "-" + map[int64]string{1200: "desk", 360: "phone"}[look.width] + "-" + look.scheme
			b.shot(at)
			b.accessible(at)
		}
	}
	b.quiet("status of 404")
}

// Pages can be read and jobs run without JavaScript.
func TestPageWithoutScripts(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	paths := screens(s, b)
	b.scripts(false)
	for name, want := range map[string]string{
		"overview": "Jobs ended", "services": "Wait for a while", "jobs": "succeeded", "chain": "107", "failed": "division by zero", "deliveries": "job.succeeded", "delivery": "Webhook-Signature", "receiver": "signature valid", "system": "SQLite", "settings": "callbacks.schedule",
	} {
		b.open(s.at(paths[name]))
		if text := eval[string](b, "document.body.innerText"); !strings.Contains(text, want) && !strings.Contains(eval[string](b, "document.body.textContent"), want) {
			t.Errorf("%s: no %q in %s", name, want, text)
		}
	}
	b.open(s.at("/services/maths.add"))
	b.click("form button.main")
	b.until(`location.pathname.startsWith("/jobs/job_")`)
	b.until(`document.querySelector("job-progress progress") !== null && getComputedStyle(document.querySelector("job-progress progress")).display !== "none"`)
	b.shot("job")
}

// The page works under its policy, which allows nothing inline and nothing
// from elsewhere, and templates have nothing that it would forbid.
func TestPagePolicy(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	for path, referrer := range map[string]string{"/": "no-referrer", "/services": "no-referrer", "/jobs": "no-referrer", "/system": "no-referrer", "/jobs/job_x.y": "no-referrer"} {
		resp, body := get(t, s.at(path))
		policy := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: no %s in %q", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || resp.Header.Get("Referrer-Policy") != referrer {
			t.Errorf("%s: %v", path, resp.Header)
		}
		if found := regexp.MustCompile(`(?i)<[^>]+\s(style|on[a-z]+)=|<script>|<style`).FindString(body); found != "" {
			t.Errorf("%s: %s", path, found)
		}
	}
}

// Scripts and styles are small, because nobody waits for them. Those of the API reference, which
// no other page loads, are counted by themselves.
func TestPageSizes(t *testing.T) {
	for suffix, most := range map[string]int64{".js": 26_000, ".css": 16_000, "docs.js": 8_000, "docs.css": 4_500} {
		var size int64
		for _, dir := range []string{"web/static", "web/embed/v1"} {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), suffix) && strings.HasPrefix(suffix, "docs") == strings.HasPrefix(e.Name(), "docs.") {
					size += info.Size()
				}
			}
		}
		if size == 0 || size > most {
			t.Errorf("*%s have %d bytes, want at most %d", suffix, size, most)
		}
	}
}

// With users, a browser signs in once and out again, all by keyboard.
func TestPageSignIn(t *testing.T) {
	s := newShell(t)
	hash := strings.TrimSpace(s.run(`echo 'correct horse battery staple' | coatcheck hash-password`))
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte("httpauth:\n  alice: \""+hash+"\"\nadmins: [alice]\nriver_ui: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config config.yaml")
	s.ready()
	b := newBrowser(t)
	b.open(s.at("/system"))
	b.until(`location.pathname === "/login" && document.activeElement.id === "name"`)
	b.do(chromedp.KeyEvent("alice\tbattery staple\r"))
	b.until(`document.querySelector("#wrong") !== null && document.activeElement.id === "password" && document.querySelector("#name").value === "alice"`)
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(390, scheme)
		b.shot(scheme)
		b.accessible("login " + scheme)
	}
	b.emulate(1000, "light")
	b.do(chromedp.KeyEvent("correct horse battery staple\r"))
	b.until(`location.pathname === "/system" && document.querySelector(".tiles") !== null`)
	if cookie := eval[string](b, "document.cookie"); cookie != "" {
		t.Errorf("scripts see the cookie %s", cookie)
	}

	// The engine room.
	b.open(s.at("/admin/river/"))
	b.until(`document.body.innerText.includes("No jobs found")`)
	b.shot("river")
	b.quiet("status of 401")

	// Everything on a page is reached by Tab, and is to be seen then.
	b.open(s.at("/services"))
	b.until(`document.querySelector("#input-seconds") !== null`)
	want := eval[[]string](b, `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary, pre")].filter(e => e.checkVisibility({ contentVisibilityAuto: true })).map(e => e.id || e.textContent.trim())`)
	var got []string
	for range len(want) + 5 {
		b.do(chromedp.KeyEvent(kb.Tab))
		got = append(got, eval[string](b, `(e => e.id || e.textContent.trim())(document.activeElement)`))
		if eval[bool](b, `document.activeElement !== document.body && document.activeElement.tagName !== "MAIN" && getComputedStyle(document.activeElement).outlineStyle === "none"`) {
			t.Errorf("%s has no outline", got[len(got)-1])
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%q is not reached by Tab: %q", name, got)
		}
	}

	b.click(`form[action="/logout"] button`)
	b.until(`location.pathname === "/login"`)
	b.open(s.at("/jobs"))
	b.until(`location.pathname === "/login"`)

	// A link shows one job to whoever has it, live, and nothing to do.
	answer := s.run(`curl -s -u 'alice:correct horse battery staple' http://127.0.0.1:5000/v1/services/sleep/jobs --json '{"input": {"seconds": 3}}'`)
	b.open(regexp.MustCompile(`"web_url":"([^"]*)"`).FindStringSubmatch(answer)[1])
	b.until(noteText + ` === "● Live" && document.querySelector("form[method=post]") === null && document.querySelector("nav") === null`)
	b.until(status + ` === "succeeded" && document.querySelector("#output").textContent === '"hello, world"'`)
	b.shot("shared")
	b.quiet("status of 401")
}

// TestPageShots makes the pictures in the README, when SHOTS is "docs".
func TestPageShots(t *testing.T) {
	if os.Getenv("SHOTS") != "docs" {
		t.Skip("SHOTS is not docs: the README's pictures are not made")
	}
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	paths := screens(s, b)
	running := s.submitted("sleep", `{"input": {"seconds": 20, "name": "Ada"}, "tags": ["web"]}`, "id")
	for name, path := range map[string]string{"job": "/jobs/" + running, "system": paths["system"]} {
		b.open(s.at(path))
		b.do(chromedp.EmulateViewport(1000, 640))
		if name == "job" {
			b.until(barValue + ` > 30`)
		}
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("docs", name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
