package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A user finds the callbacks that a host missed, selects some and sends them again, with and
// without JavaScript.
func TestPageCallbacks(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.open(s.at("/receiver"))
	b.click("form button.main")
	b.until(`document.querySelector("#url") !== null`)
	receiver := eval[string](b, `document.querySelector("#url").textContent`)
	host := strings.TrimSuffix(receiver, "/")
	b.do(chromedp.SetValue(chromedp.CSS("select[name=answer]"), "gone"))
	b.do(chromedp.Evaluate[chromedp.Void]("window.unsaved = true"))
	b.click(`form[action="/receiver"] button`)
	b.until(`!window.unsaved && document.querySelector("select[name=answer]")?.value === "gone"`)
	var ids []string
	for range 3 {
		ids = append(ids, s.submitted("maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+`"}`, "id"))
	}
	b.open(s.at("/deliveries"))
	b.until(`document.querySelectorAll("#list .badge.failed").length === 3`)
	b.until(`document.querySelector("#receivers td[data-label='Success rate']")?.textContent === "0%"`)
	b.click(`#receivers a`)
	b.until(`new URLSearchParams(location.search).get("host") === "` + host + `" &&
		document.readyState === "complete" && document.querySelectorAll("#list tbody tr").length === 3`)
	b.do(chromedp.SetValue(chromedp.CSS("input[name=job]"), ids[1]))
	b.click("form.filter button")
	b.until(`location.search.includes("host=") && document.querySelector("input[name=job]").value === "` + ids[1] + `" &&
		document.readyState === "complete" && document.querySelectorAll("#list tbody tr").length === 1`)
	b.click(`.tabs a[href*="status=delivered"]`)
	b.until(`document.querySelector(".tabs [aria-current]").textContent === "delivered" &&
		document.querySelector(".empty")?.textContent.includes("No matching callbacks.")`)

	look := func(name string) {
		t.Helper()
		for _, width := range []int64{1200, 360} {
			for _, scheme := range []string{"light", "dark"} {
				b.emulate(width, scheme)
				at := name + map[int64]string{1200: "-desk-", 360: "-phone-"}[width] + scheme
				b.shot(at)
				b.accessible(at)
			}
		}
		b.emulate(1200, "light")
	}
	b.open(s.at("/deliveries?event=job.succeeded&url=receiver"))
	b.click(`#list tbody tr:nth-child(1) input`)
	b.click(`#list tbody tr:nth-child(3) input`)
	look("selected")
	b.click(`button[value=redeliver]`)
	b.until(`document.querySelector("#question")?.textContent === "Redeliver 2 callbacks?"`)
	look("question")
	b.click(`.notice button.main`)
	b.until(`document.querySelector("[role=status]")?.textContent.startsWith("2 queued for redelivery") &&
		location.search.includes("url=receiver")`)
	const attempts = `[...document.querySelectorAll("#list td[data-label=Attempts]")].map(e => e.textContent).join()`
	b.until(attempts + ` === "2,1,2"`)

	b.scripts(false)
	b.open(s.at("/deliveries"))
	b.click(`#list tbody tr:nth-child(2) input`)
	b.click(`button[value=redeliver]`)
	b.until(`document.querySelector("#question")?.textContent === "Redeliver 1 callback?" &&
		document.readyState === "complete"`)
	b.click(`.notice button.main`)
	b.until(`document.querySelector("[role=status]")?.textContent.startsWith("1 queued for redelivery")`)
	b.scripts(true)
	b.open(s.at("/deliveries"))
	b.until(attempts + ` === "2,2,2"`)
	b.click(`#list tbody a`)
	b.until(`[...document.querySelectorAll("#attempts details")].map(d => d.open).join() === "false,true"`)
	look("attempts")

	running := s.submitted("sleep", `{"input": {"seconds": 600}}`, "id")
	b.open(s.at("/system"))
	b.until(`document.querySelector("#workers a[href='/jobs/` + running + `']")?.textContent === "sleep"`)
	look("workers")
	b.quiet()
}
