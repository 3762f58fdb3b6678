package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// paintServices has a service that writes colors and other control sequences, and ends once a file exists.
const paintServices = `commands:
  paint:
    run: [sh, -c, 'until [ -e DIR/watched ]; do sleep 0.1; done; printf "plain \033[31mred \033[1mbold\033[0m \033[38;5;46mgreen\033[m \033]0;title\007\033[2K\033(Bend\n" >&2;
      until [ -e DIR/go ]; do sleep 0.1; done']
    output: text
`

// paintedLine is the line of paintServices as a reader sees it.
const paintedLine = "plain red bold green end\n"

// A log has the colors of its programs, readable on light and dark pages. Live lines have none, but no
// escape sequences either; the download is as the program wrote it.
func TestPageLogColors(t *testing.T) {
	s := newShell(t)
	config := strings.ReplaceAll(paintServices, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "paint.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config paint.yaml")
	s.ready()
	b := newBrowser(t)
	page := s.submitted("paint", `{"input": {}}`, "web_url")
	b.open(page)
	b.until(noteText + ` === "● Live"`)
	if err := os.WriteFile(filepath.Join(s.dir, "watched"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.until(`document.querySelector("#log").textContent.endsWith("` + strings.TrimSpace(paintedLine) + `\n")`)
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const parts = `[...document.querySelectorAll("#log > span > span")].map(s => s.className + "=" + s.textContent).join()`
	b.until(parts + ` === "c1=red ,c1 bold=bold,c2=green"`) // without a reload
	b.until(`document.querySelector("#log > span").textContent.endsWith("` + strings.TrimSpace(paintedLine) + `\n")`)
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(360, scheme)
		b.accessible(scheme)
		b.shot(scheme)
	}
	id := eval[string](b, `document.querySelector("#job-id").textContent`)
	if _, text := get(t, s.at("/v1/jobs/"+id+"/log")); !strings.Contains(text, "\x1b[31mred \x1b[1mbold") {
		t.Errorf("the download has lost its colors: %q", text)
	}
	b.quiet()
}

// The lines of a log can be searched, by text and level, without scripts too. Those of several attempts
// are kept apart.
func TestPageLogFilter(t *testing.T) {
	s := newFlakyServer(t)
	b := newBrowser(t)
	b.open(s.submitted("flaky", `{"input": {}}`, "web_url"))
	const found = `[...document.querySelectorAll("#found > span")].map(s => s.textContent.trim().replace(/^.*(AM|PM|:\d\d) /, "")).join()`
	b.until(status + ` === "succeeded" && [...document.querySelectorAll("#log .attempt")].map(s => s.textContent.trim()).join() === "Attempt 1,Attempt 2"`)
	b.until(`document.querySelector("#attempts a[href='#log-attempt-2']") !== null && document.querySelector("#log-attempt-2").nextElementSibling.matches(".info, .warning")`)
	b.until(`getComputedStyle(document.querySelector("#log")).whiteSpace === "pre-wrap"`)
	b.click("#wrap")
	b.until(`getComputedStyle(document.querySelector("#log")).whiteSpace === "pre"`)
	b.shot("attempts")
	page := eval[string](b, "location.href")
	for _, on := range []bool{true, false} {
		b.scripts(on)
		b.open(page)
		b.do(chromedp.SetValue(chromedp.CSS("input[name=q]"), "FOUND"))
		b.click("#log-filter button")
		b.until(found + ` === "Attempt 2,found it" && document.querySelector("#log-filter").textContent.includes("1 of 5 lines match.")`)
		b.until(`document.querySelector("input[name=q]").value === "FOUND" && getComputedStyle(document.querySelector("#log")).display === "none"`)
		b.click(`#log-filter a[href="?"]`)
		b.until(`location.search === "" && document.querySelector("#found") === null && document.querySelector("#log").textContent.includes("found it")`)
		b.do(chromedp.SetValue(chromedp.CSS("select[name=level]"), "warning"))
		b.click("#log-filter button")
		b.until(found + ` === "Attempt 1,disk is slow,Attempt 2,disk is slow"`)
		b.open(page + "?q=nowhere")
		b.until(`document.querySelector("#log-filter").textContent.includes("0 of 5 lines match.") && getComputedStyle(document.querySelector("#found")).display === "none"`)
	}
	b.scripts(true)
	for _, scheme := range []string{"light", "dark"} {
		b.open(page + "?level=warning")
		b.emulate(360, scheme)
		b.accessible(scheme)
		b.shot(scheme)
	}
	b.quiet()
}

// Under a filter, no line is shown that does not match it, however live it is.
func TestPageLogFilterLive(t *testing.T) {
	s := newShell(t)
	config := strings.ReplaceAll(logServices, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "log.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config log.yaml")
	s.ready()
	b := newBrowser(t)
	b.open(s.submitted("talk", `{"input": {}}`, "web_url"))
	b.until(logNumbers + `.endsWith(",400")`)
	b.do(chromedp.Evaluate[chromedp.Void](`location.search = "?q=line 7"`))
	const found = `[...document.querySelectorAll("#found > span")].map(s => s.textContent.match(/line (\d+)\./)?.[1]).join()`
	b.until(found + ` === "7,70,71,72,73,74,75,76,77,78,79" && ` + noteText + ` === "● Live"`)
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.until(status + ` === "succeeded" && ` + found + ` === "7,70,71,72,73,74,75,76,77,78,79,700"`)
	b.until(`getComputedStyle(document.querySelector("#log")).display === "none"`)
	b.quiet()
}
