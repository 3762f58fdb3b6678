package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logServices has a service that logs 400 lines with progress, and 300 more when a file exists.
const logServices = `commands:
  talk:
    run: [sh, -c, "exec >&2; for i in $(seq 400); do echo percent $((i / 8)); echo line $i.; done;
      until [ -e DIR/go ]; do sleep 0.1; done; for i in $(seq 401 700); do echo line $i.; done"]
    progress: {match: '^percent ([0-9]+)'}
    output: text
`

const logNumbers = `[...document.querySelectorAll("#log > span")].map(s => s.textContent.match(/line (\d+)\./)?.[1]).filter(Boolean).join()`

// The log of a job is on its page however many lines it has, without JavaScript and after a restart;
// lines that follow arrive without gaps or repeats.
func TestPageLog(t *testing.T) {
	s := newShell(t)
	config := strings.ReplaceAll(logServices, "DIR", s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "log.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := s.startUntil("coatcheck --config log.yaml")
	s.ready()
	b := newBrowser(t)
	page := s.submitted("talk", `{"input": {}}`, "web_url")
	b.open(page)
	b.until(logNumbers + ` === Array.from({length: 400}, (_, i) => i + 1).join()`)
	b.open(page) // now they come from the table
	b.until(logNumbers + `.endsWith(",400") && ` + noteText + ` === "● Live"`)
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const all = ` === Array.from({length: 700}, (_, i) => i + 1).join()`
	b.until(status + ` === "succeeded" && ` + logNumbers + all)
	b.until(`(l => l.scrollHeight - l.scrollTop - l.clientHeight < 24)(document.querySelector("#log"))`)
	b.emulate(390, "dark")
	b.shot("phone")
	b.quiet()

	stop()
	s.start("coatcheck --config log.yaml")
	s.ready()
	b.scripts(false)
	b.open(page)
	response, err := http.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	html, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(html), "line "); n < 700 || !strings.Contains(string(html), "line 700.") {
		t.Errorf("the page has %d lines", n)
	}
	b.shot("without scripts")
}
