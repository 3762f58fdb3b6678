package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
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
  count:
    run: [sh, -c, 'cat "$1" | wc -c; echo "$2"', sh, "{{input.file}}", "{{input.note}}"]
    output: lines
    input:
      required: [file, note]
      properties:
        file: {type: string, format: binary, description: What to count.}
        note: {type: string}
        more: {type: array, items: {type: string, format: binary}}
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

// The form of a service that takes files has fields for them, says what is missing, and sends them;
// with and without JavaScript.
func TestPageSendsFile(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile(filepath.Join(s.dir, "files.yaml"), []byte(fileServices), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "my words.txt")
	if err := os.WriteFile(file, []byte("one two three"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config files.yaml")
	s.ready()
	b := newBrowser(t)
	for _, scripts := range []bool{true, false} {
		b.scripts(scripts)
		b.open(s.at("/services/count"))
		b.do(chromedp.SetValue(chromedp.ID("input-note"), "hello"))
		b.click("form button.main")
		b.until(`document.querySelector("#input-file[aria-invalid]") !== null && document.querySelector("#input-note").value === "hello"`)
		if scripts { // axe-core is one
			b.accessible("upload")
			b.shot("file-upload")
		}
		b.do(chromedp.SetUploadFiles(chromedp.ID("input-file"), []string{file}), chromedp.SetUploadFiles(chromedp.ID("input-more"), []string{file, file}))
		b.click("form button.main")
		b.until(`location.pathname.startsWith("/jobs/")`)
		if scripts {
			b.until(`document.querySelector("#output")?.textContent.includes("13")`)
			b.accessible("uploaded")
			b.shot("file-uploaded")
		}
		b.until(`document.querySelector("a[download='my words.txt']") !== null`)
		b.open(eval[string](b, `document.querySelector("a[download='my words.txt']").href`))
		b.until(`document.body.textContent.trim() === "one two three"`)
	}
	b.quiet("422")
}
