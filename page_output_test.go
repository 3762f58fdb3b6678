package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// outputServices return JSON with a list of records, a large list, and files with records.
const outputServices = `commands:
  tree:
    run: [sh, -c, 'printf %s "{\"b\": {\"deep\": [1, [2.50, null]], \"text\": \"a<b>\\nc\"}, \"a\": true, \"none\": {}, \"rows\": [{\"id\": 1, \"name\": \"Ada\"}, {\"id\": 2, \"ok\": false}]}"']
    output: json
  large:
    run: [sh, -c, 'echo "[0"; for i in $(seq 3000); do echo ",$i"; done; echo "]"']
    output: json
  nested:
    run: [sh, -c, 'echo "[["; for i in $(seq 60); do echo "$i,"; done; echo "0], [1, 2]]"']
    output: json
  sheet:
    run: [sh, -c, 'echo name,city >out.csv; for i in $(seq 300); do echo "\"Ada, $i\",London" >>out.csv; done']
    output: {file: out.csv, content_type: text/csv}
  file:
    run: [sh, -c, 'echo "{\"list\": [1, 2]}" >out.json']
    output: {file: out.json}
`

// A job's page shows JSON as a tree that keeps names and numbers as they are, records as a table, and
// what is too large for that as text.
func TestPageOutput(t *testing.T) {
	s := newShell(t)
	if err := os.WriteFile(filepath.Join(s.dir, "output.yaml"), []byte(outputServices), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config output.yaml")
	s.ready()
	b := newBrowser(t)
	b.open(s.submitted("tree", `{"input": {}}`, "web_url"))
	const names = `[...document.querySelectorAll("#result > .tree > li")].map(li => li.querySelector("b").textContent).join()`
	b.until(names + ` === "b,a,none,rows"`)
	b.until(`document.querySelector(".tree .c4").textContent === "1" && [...document.querySelectorAll(".tree .c4")].some(n => n.textContent === "2.50")`)
	b.until(`document.querySelector(".tree .string").textContent === "a<b>\nc" && document.querySelector("#output").textContent.includes('"text": "a<b>')`)
	const cells = `[...document.querySelectorAll("#result table tr")].map(r => [...r.cells].map(c => c.textContent).join("|")).join()`
	b.until(cells + ` === "id|name|ok,1|Ada|,2||false"`)
	b.until(`[...document.querySelectorAll(".tree details")].every(d => d.open)`) // there are few
	b.click(".tree summary")
	b.until(`!document.querySelector(".tree details").open`)
	b.do(chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("#result details")) d.open = true`))
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(360, scheme)
		b.accessible("tree " + scheme)
		b.shot("tree phone " + scheme)
		b.emulate(1100, scheme)
		b.shot("tree desk " + scheme)
	}

	b.open(s.submitted("nested", `{"input": {}}`, "web_url"))
	b.until(names + ` === "0,1" && document.querySelector(".tree details summary").textContent === "0 61 items" && !document.querySelector(".tree details").open`)
	b.open(s.submitted("large", `{"input": {}}`, "web_url"))
	b.until(`document.querySelector("#result > #output")?.textContent.includes("3000") && document.querySelector(".tree") === null`)
	b.open(s.submitted("file", `{"input": {}}`, "web_url"))
	b.until(names + ` === "list" && document.querySelector("#result a[download='out.json']") !== null`)

	b.open(s.submitted("sheet", `{"input": {}}`, "web_url"))
	b.until(cells + `.startsWith("name|city,Ada, 1|London,") && document.querySelectorAll("#result tbody tr").length === 200`)
	b.until(`document.querySelector("#result").textContent.includes("The rest is in the download.")`)
	b.accessible("sheet")
	b.shot("sheet")
	b.scripts(false)
	b.open(s.submitted("tree", `{"input": {}}`, "web_url"))
	for eval[string](b, `document.querySelector("#job-status").textContent.trim()`) != "succeeded" {
		b.do(chromedp.Reload())
	}
	b.until(names + ` === "b,a,none,rows"`)
	b.quiet()
}
