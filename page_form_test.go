package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// formServices has a service with objects and lists in its input.
const formServices = `commands:
  render:
    summary: Render a video
    run: [cat]
    input:
      required: [title, size, scenes]
      properties:
        title: {type: string, description: Shown at the beginning., maxLength: 80, examples: [Summer]}
        size:
          required: [width]
          properties:
            width: {type: integer, minimum: 1, default: 1920}
            height: {type: integer, minimum: 1}
        subtitles: {type: boolean, default: true, description: Burn them in.}
        tags: {type: array, maxItems: 3, items: {type: string}}
        on screen: {type: array, items: {type: string}}
        scenes:
          type: array
          items:
            required: [source]
            properties:
              source: {type: string, format: uri}
              loop: {type: boolean}
`

// The form of a service has fields for objects and lists, to which items can be added, and code
// examples that follow it; with and without JavaScript.
func TestPageFormOfObjects(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile(filepath.Join(s.dir, "form.yaml"), []byte(formServices), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config form.yaml")
	s.ready()
	b := newBrowser(t)
	for _, scripts := range []bool{true, false} {
		b.scripts(scripts)
		b.open(s.at("/services/render"))
		b.until(`document.querySelector("#run") !== null`)
		if scripts {
			b.until(`document.querySelector("#submit-sh").textContent.includes('"title": "Summer", "size": {"width": 1920}')`)
			b.do(chromedp.SendKeys(chromedp.ID("input-title"), "Long "))
			b.until(`document.querySelector("#submit-sh").textContent.includes('"title": "Long Summer"')`)
			b.click("#input-subtitles")
			b.until(`document.querySelector("#submit-py").textContent.includes('\\"subtitles\\": false')`)
			b.accessible("form")
			b.shot("form")
			b.click(`button[value="input.on screen"]`)
			b.until(`document.getElementById("input-on_screen[1]")?.name === "input.on screen[1]" && document.activeElement.id === "input-on_screen[1]"`)
		} else {
			b.do(chromedp.SendKeys(chromedp.ID("input-title"), "Long "))
			b.click("#input-subtitles")
		}
		b.do(chromedp.SendKeys(chromedp.CSS("[id='input-tags[0]']"), "one"))
		b.click(`button[value="input.tags"]`)
		b.until(`document.getElementById("input-tags[1]") !== null && document.getElementById("input-tags[0]").value === "one"`)
		b.do(chromedp.SendKeys(chromedp.CSS("[id='input-tags[1]']"), "two"))
		b.click(`button[value="input.tags"]`)
		b.until(`document.getElementById("input-tags[2]")?.value === "" && document.querySelector("label[for='input-tags[2]']").textContent.trim() === "Tags 3"`)
		if scripts {
			b.until(`document.activeElement.id === "input-tags[2]" && document.querySelector('button[value="input.tags"]').hidden`)
		}
		b.do(chromedp.SendKeys(chromedp.CSS("[id='input-scenes[0].source']"), "https://example.com/1"), chromedp.SetValue(chromedp.CSS("[id='input-scenes[0].loop']"), "true"))
		b.click(`button[value="input.scenes"]`)
		b.until(`document.getElementById("input-scenes[1].loop")?.value === "" && document.getElementById("input-scenes[0].loop").value === "true"`)
		b.do(chromedp.SendKeys(chromedp.CSS("[id='input-scenes[1].source']"), "no URL\r")) // the Enter key runs the service, or adds an item
		if !scripts {
			b.until(`document.getElementById("input-scenes[2].source") !== null || document.getElementById("input-tags[2]") !== null`)
			b.click("form button.main")
		}
		b.until(`document.getElementById("input-scenes[1].source")?.getAttribute("aria-invalid") === "true"`)
		if scripts {
			b.until(`document.activeElement.id === "input-scenes[1].source"`)
			b.accessible("form with errors")
			b.shot("form-errors")
		}
		b.do(chromedp.SetValue(chromedp.CSS("[id='input-scenes[1].source']"), "https://example.com/2"))
		b.click("form button.main")
		b.until(`location.pathname.startsWith("/jobs/job_")`)
		id := strings.TrimPrefix(eval[string](b, "location.pathname"), "/jobs/")
		var job struct {
			Input json.RawMessage `json:"input"`
		}
		if err := json.Unmarshal([]byte(s.run(`curl -s 'http://127.0.0.1:5000/v1/jobs/`+id+`?wait=20'`)), &job); err != nil {
			t.Fatal(err)
		}
		if want := `{"title":"Long Summer","size":{"width":1920},"subtitles":false,"tags":["one","two"],"scenes":[{"source":"https://example.com/1","loop":true},{"source":"https://example.com/2"}]}`; string(job.Input) != want {
			t.Errorf("scripts: %t: input %s, want %s", scripts, job.Input, want)
		}
	}
	b.quiet("status of 422")
}
