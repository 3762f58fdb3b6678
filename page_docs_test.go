package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const shownOperations = `[...document.querySelectorAll(".op")].filter(e => e.checkVisibility()).map(e => e.id).join()`

// typed types a search into the reference.
func (b *browser) typed(text string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#search").select()`), chromedp.SendKeys(chromedp.CSS("#search"), text))
}

// tryOut opens the form of an operation that sends its request.
func (b *browser) tryOut(operation string) {
	b.t.Helper()
	b.click(`[id="` + operation + `"] button.try`)
	b.until(`document.getElementById("` + operation + `").querySelector("form.try")?.contains(document.activeElement)`)
}

// look takes a picture of the page and checks it, light and dark, on a desk and on a phone.
func (b *browser) look(name string) {
	b.t.Helper()
	for _, look := range []struct {
		width  int64
		at, in string
	}{{1280, "desk", "light"}, {1280, "desk", "dark"}, {360, "phone", "light"}, {360, "phone", "dark"}} {
		b.emulate(look.width, look.in)
		b.shot(name + "-" + look.at + "-" + look.in)
		b.accessible(name + "-" + look.at + "-" + look.in)
	}
	b.emulate(1280, "light")
}

// A reader of the reference searches for an operation, and sends requests from the page: a job is
// submitted, read and watched.
func TestDocsPage(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.emulate(1280, "light")
	b.open(s.at("/docs"))
	b.typed("cancel job")
	b.until(shownOperations + ` === "cancel-job" && document.querySelector("#found").textContent.startsWith("1 of ")`)
	b.until(`[...document.querySelectorAll(".side li")].filter(e => e.checkVisibility()).length === 1`)
	b.shot("found")
	b.typed("nosuchthing")
	b.until(shownOperations + ` === "" && document.querySelector("#found").textContent.startsWith("0 of ")`)
	b.accessible("nothing found")
	b.typed("v1 maths.add")
	b.until(shownOperations + ` === "submit-maths.add"`)

	// Try it.
	b.tryOut("submit-maths.add")
	b.until(`document.querySelector("form.try textarea").value.includes('"a": 3')`)
	b.do(chromedp.SetValue(chromedp.CSS("form.try textarea"), `{"input": {"a": 3}}`))
	b.click("form.try .main")
	b.until(`document.querySelector("form.try .answer").textContent.startsWith("422") && document.querySelector("form.try pre:last-child").textContent.includes("body.input.b")`)
	b.do(chromedp.SetValue(chromedp.CSS("form.try textarea"), `{"input": {"a": 9007199254740993, "b": 1}}`))
	b.click("form.try .main")
	b.until(`document.querySelector("form.try .answer").textContent.startsWith("202") && document.querySelector("form.try pre").textContent.includes("location: http")`)
	b.until(`document.querySelector("form.try pre:last-child").textContent.includes('\n  "token": "job_')`)
	b.look("tried")
	b.do(chromedp.Evaluate[chromedp.Void](`location.hash = "get-job"`)) // ends the search, which hides it
	b.until(`document.querySelector("#search").value === "" && document.querySelector("#get-job").checkVisibility()`)
	b.tryOut("get-job")
	b.until(`document.querySelector("#get-job form.try input").value.startsWith("job_")`) // the job that was submitted
	b.do(chromedp.SendKeys(chromedp.CSS("#get-job form.try label:nth-of-type(2) input"), "20"))
	b.click("#get-job form.try .main")
	b.until(`document.querySelector("#get-job form.try pre:last-child").textContent.includes("9007199254740994")`) // every digit
	b.tryOut("stream-events")
	b.click("#stream-events form.try .main")
	b.until(`document.querySelector("#stream-events form.try pre:last-child").textContent.includes("event: end")`)

	// A stream is shown as it comes, and can be stopped.
	job := s.submitted("sleep", `{"input": {"seconds": 600}}`, "token")
	b.do(chromedp.SetValue(chromedp.CSS("#stream-events form.try input"), job))
	b.click("#stream-events form.try .main")
	b.until(`document.querySelector("#stream-events form.try pre:last-child").textContent.includes("event: snapshot")`)
	b.click("#stream-events form.try [type=button]")
	b.until(`document.querySelector("#stream-events form.try .answer").textContent.endsWith(", stopped") && document.querySelector("#stream-events form.try [type=button]").hidden`)
	b.quiet("status of 422")
}

// A link to an operation marks its place in the contents; one to a schema opens it.
func TestDocsPagePlaces(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.emulate(1280, "light")
	b.open(s.at("/docs#list-deliveries"))
	b.until(`document.querySelector(".side [aria-current]")?.getAttribute("href") === "#list-deliveries"`)
	b.shot("place")
	b.open(s.at("/docs#submit-sleep"))
	b.until(`Math.abs(document.querySelector("#submit-sleep").getBoundingClientRect().top) < 100`)
	b.do(chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("#submit-sleep details")) d.open = true`))
	b.shot("service")
	b.open(s.at("/problems/queue-full"))
	b.until(`location.hash === "#problem-queue-full" && document.querySelector("tr:target") !== null`)
	b.quiet()
}

// The reference can be read without JavaScript, and then has no search and nothing to try.
func TestDocsPageWithoutScripts(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.scripts(false)
	b.emulate(360, "light")
	b.open(s.at("/docs"))
	b.until(`!document.querySelector(".side nav").checkVisibility()`)
	b.click(".side summary")
	b.until(`document.querySelector(".side nav").checkVisibility()`)
	b.shot("contents")
	b.emulate(1280, "light")
	b.open(s.at("/docs"))
	b.until(`document.querySelector(".side nav").checkVisibility() && !document.querySelector(".side summary").checkVisibility()`)
	b.until(`!document.querySelector("#search").checkVisibility() && [...document.querySelectorAll("button")].every(e => !e.checkVisibility())`)
	b.open(s.at("/docs#schema-Job"))
	b.until(`document.querySelector("#schema-Job table").checkVisibility() && document.querySelector("#schema-Job").textContent.includes("max_attempts")`)
	b.shot("schema")
	b.quiet()
}

// With users, requests go out with the session, or with the API key that is typed in.
func TestDocsPageSecured(t *testing.T) {
	s := newShell(t)
	out := s.run(`coatcheck api-key`)
	found := regexp.MustCompile(`(ck_\S+)[\s\S]*?(sha256:\w+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("no key in %s", out)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte("api_keys:\n  alice: [\""+found[2]+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config config.yaml")
	s.ready()
	b := newBrowser(t)
	b.emulate(1280, "light")
	b.open(s.at("/docs"))
	if text := eval[string](b, `document.querySelector("#list-jobs").textContent`); !strings.Contains(text, "$API_KEY") {
		t.Errorf("the command has no key: %s", text)
	}
	b.tryOut("list-jobs")
	b.click("#list-jobs form.try .main")
	b.until(`document.querySelector("#list-jobs .answer").textContent.startsWith("401")`)
	b.do(chromedp.SendKeys(chromedp.CSS("#list-jobs form.try [type=password]"), found[1]))
	b.click("#list-jobs form.try .main")
	b.until(`document.querySelector("#list-jobs .answer").textContent.startsWith("200")`)
	b.tryOut("list-services")
	b.until(`document.querySelector("#list-services form.try [type=password]").value === "` + found[1] + `"`)
	b.shot("secured")

	b.open(s.at("/login")) // with a session
	b.do(chromedp.SetValue(chromedp.ID("name"), "alice"), chromedp.SetValue(chromedp.ID("password"), found[1]))
	b.click("form button.main")
	b.until(`location.pathname === "/"`)
	b.open(s.at("/docs"))
	b.tryOut("list-jobs")
	b.click("#list-jobs form.try .main")
	b.until(`document.querySelector("#list-jobs .answer").textContent.startsWith("200")`)
	b.quiet("status of 401")
}
