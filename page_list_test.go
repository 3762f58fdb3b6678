package main

import (
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// A list stays in place under the pointer: its rows are updated, and new ones are offered.
func TestPageHoldsList(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	first := s.submitted("sleep", `{"input": {"seconds": 4}}`, "id")
	b.open(s.at("/jobs"))
	const top = `document.querySelector("#list tbody a").textContent`
	b.until(top + ` === "` + first + `"`)
	at := eval[[]float64](b, `(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector("#list tbody tr").getBoundingClientRect())`)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
	b.until(`document.querySelector("#list").matches(":hover")`)
	second := s.submitted("maths.add", `{"input": {"a": 1, "b": 2}}`, "id")
	b.until(`document.querySelector("#new").checkVisibility() && document.querySelector("#new").textContent === "Show 1 new"`)
	b.until(top + ` === "` + first + `" && document.querySelector("#list tbody .badge").textContent === "succeeded"`)
	b.accessible("held list")
	b.shot("held")
	b.click("#new")
	b.until(top + ` === "` + second + `" && document.activeElement.textContent === "` + second + `" && !document.querySelector("#new").checkVisibility()`)
	s.submitted("maths.add", `{"input": {"a": 1, "b": 2}}`, "id")
	b.until(`document.querySelector("#new").checkVisibility()`)
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 1, 1)) // the list goes on when the pointer leaves it
	b.until(top + ` !== "` + second + `" && !document.querySelector("#new").checkVisibility()`)
	b.quiet()
}
