package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// paintServices has a service that writes colors and other control sequences, and ends once a file exists.
const paintServices = `commands:
  paint:
    run: [sh, -c, 'printf "plain \033[31mred \033[1mbold\033[0m \033[38;5;46mgreen\033[m \033]0;title\007\033[2K\033(Bend\n" >&2;
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
	id := eval[string](b, `document.querySelector("p.id").textContent`)
	if _, text := get(t, s.at("/v1/jobs/"+id+"/log")); !strings.Contains(text, "\x1b[31mred \x1b[1mbold") {
		t.Errorf("the download has lost its colors: %q", text)
	}
	b.quiet()
}
