package main

import (
	"os"
	"path/filepath"
	"testing"
)

// fileServices are services that return files, and one without a Content-Type of its own.
const fileServices = `commands:
  draw:
    run: [sh, -c, "echo iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGP4z8CAB+GTG8HSALfKY52fTcuYAAAAAElFTkSuQmCC | base64 -d >out.png"]
    output: {file: out.png}
  write:
    run: [sh, -c, "echo '<b>bold</b>' >notes.txt"]
    output: {file: notes.txt}
  page:
    run: [sh, -c, "echo '<script>document.title = 1</script>' >page.html"]
    output: {file: page.html}
`

// A job's page shows the file that the job returned: an image as an image, text as text, and
// nothing as a page of this origin.
func TestPageShowsFile(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile(filepath.Join(s.dir, "files.yaml"), []byte(fileServices), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config files.yaml")
	s.ready()
	b := newBrowser(t)
	b.open(s.submitted("draw", `{"input": {}}`, "web_url"))
	b.until(`document.querySelector("#result img.preview")?.naturalWidth === 10`)
	b.until(`document.querySelector("#result a[download='out.png']") !== null`)
	b.accessible("image")
	b.shot("file-image")
	b.open(s.submitted("write", `{"input": {}}`, "web_url"))
	b.until(`document.querySelector("#output")?.textContent.includes("<b>bold</b>")`)
	b.open(s.submitted("page", `{"input": {}}`, "web_url"))
	b.until(`document.querySelector("#output")?.textContent.includes("<script>")`)
	b.quiet()
}
