package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// flakyServices has a service that warns and fails until a file exists, and one that always fails.
const flakyServices = `commands:
  flaky:
    run: [sh, -c, 'echo "trying once" >&2; echo "{\"log\": \"disk is slow\", \"level\": \"warning\"}" >&3;
      if [ -e DIR/go ]; then echo "found it" >&2; else touch DIR/go; exit 1; fi']
    output: text
  broken:
    run: [sh, -c, 'exit 1']
    output: text
`

// newFlakyServer starts a server with flakyServices.
func newFlakyServer(t *testing.T) *shell {
	t.Helper()
	s := newShell(t)
	config := strings.ReplaceAll(flakyServices, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "flaky.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config flaky.yaml")
	s.ready()
	return s
}

// A job's page shows its attempts with how long each waited, backed off and ran, as bars and as text.
func TestPageAttempts(t *testing.T) {
	s := newFlakyServer(t)
	b := newBrowser(t)
	b.open(s.submitted("flaky", `{"input": {}}`, "web_url"))
	const rows = `[...document.querySelectorAll("#attempts tbody tr")].map(r => [r.cells[0], r.cells[1]].map(c => c.textContent.trim()).join(" ")).join()`
	const kinds = `[...document.querySelectorAll("#attempts rect")].map(r => r.getAttribute("class")).join()`
	b.until(rows + ` === "Attempt 1 failed,Attempt 2 succeeded" && ` + kinds + ` === "wait,run,later,run"`)
	b.until(`/^[\d.]+ m?s backoff$/.test(document.querySelector("#attempts tr:last-child [data-label=Waited]").textContent)`)
	b.until(`(([wait, run, later, again]) => later.x.baseVal.value >= run.x.baseVal.value && later.width.baseVal.value > 4 &&
		again.x.baseVal.value + again.width.baseVal.value < 1001)(document.querySelectorAll("#attempts rect"))`)
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(360, scheme)
		b.accessible(scheme)
		b.shot("phone " + scheme)
		b.emulate(1100, scheme)
		b.shot("desk " + scheme)
	}
	chain := s.submitted("maths.add", `{"input": {"a": 3, "b": 4}, "then": [{"service": "maths.add", "input": {"a": 100, "b": {"$output": ""}}}]}`, "web_url")
	b.open(chain)
	b.until(rows + ` === "Step 1, attempt 1 succeeded,Step 2, attempt 1 succeeded"`)
	b.open(s.submitted("broken", `{"input": {}}`, "web_url")) // the second backoff is long enough to be seen on a slow computer
	b.until(`/^Attempt 1 failed,(Attempt 2 failed,)?Attempt \d retrying$/.test(` + rows + `) &&
		document.querySelector("#attempts tr:last-child [data-label=Waited]").textContent.startsWith("until ") && ` + kinds + `.endsWith("run,later")`)
	b.open(s.submitted("sleep", `{"input": {"seconds": 0}, "delay": "1h"}`, "web_url"))
	b.until(rows + ` === "Attempt 1 scheduled" && ` + kinds + ` === "later"`)
	b.shot("delayed")
	b.quiet()
}
