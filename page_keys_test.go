package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// press sends keys to the page. A key that a script takes types nothing, unlike with chromedp.KeyEvent.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		for _, key := range keys {
			for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
				p := input.DispatchKeyEventParams{Type: kind, Key: string(key)}
				if kind == input.DispatchKeyEventTypeKeyDown {
					p.Text = string(key)
				}
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, p); err != nil {
					return chromedp.Void{}, err
				}
			}
		}
		return chromedp.Void{}, nil
	})
}

const focused = `document.activeElement.getAttribute("href")`

// Keys lead through the pages and the rows of a list, whose focus stays on its job while new jobs push it down.
func TestPageKeys(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	var ids []string
	for range 3 {
		ids = append(ids, s.submitted("sleep", `{"input": {"seconds": 600}}`, "id"))
	}
	b := newBrowser(t)
	b.open(s.at("/"))
	for _, to := range []struct{ key, path string }{{"s", "/services"}, {"c", "/deliveries"}, {"y", "/system"}, {"o", "/"}, {"j", "/jobs"}} {
		b.press("g" + to.key)
		b.until(`location.pathname === "` + to.path + `" && document.querySelector("#keys-open:not([hidden])") !== null`)
	}
	at := func(i int) string { return focused + ` === "/jobs/` + ids[i] + `"` }
	b.press("j")
	b.until(at(2) + ` && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	b.shot("row")
	b.press("jjj")
	b.until(at(0))
	b.press("k")
	b.until(at(1))
	b.accessible("row")
	s.submitted("sleep", `{"input": {"seconds": 600}}`, "id")
	b.until(`document.querySelectorAll("#list tbody tr").length === 4`)
	b.until(at(1))

	// Keys are text in a field, and belong to the browser with Ctrl, Alt or Meta.
	b.press("/")
	b.until(`document.activeElement.name === "q" && document.activeElement.value === ""`)
	b.press("gs?/j")
	b.until(`document.activeElement.value === "gs?/j" && location.pathname === "/jobs" && !document.querySelector("#keys").open`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	for _, modifier := range []string{"ctrlKey", "altKey", "metaKey"} {
		taken := eval[bool](b, `!document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "?", `+modifier+`: true, bubbles: true, cancelable: true }))`)
		if taken || eval[bool](b, `document.querySelector("#keys").open`) {
			t.Errorf("? is taken with %s", modifier)
		}
	}
	b.press("?")
	b.until(`document.querySelector("#keys").open`)
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(360, scheme)
		b.accessible("dialog")
		b.shot("dialog " + scheme)
	}
	b.press("gs") // not while the dialog is open
	b.click("#keys [role=switch]")
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`!document.querySelector("#keys").open && location.pathname === "/jobs"`)
	b.press("?j") // the switch turned them off
	if eval[bool](b, `document.querySelector("#keys").open || document.activeElement.closest("#list") !== null`) {
		t.Error("shortcuts work although they are turned off")
	}
	b.open(s.at("/jobs"))
	b.until(`document.querySelector("#keys-open:not([hidden])") !== null`)
	b.press("?")
	if eval[bool](b, `document.querySelector("#keys").open`) {
		t.Error("the switch is not kept")
	}
	b.click("#keys-open")
	b.click("#keys [role=switch]")
	b.click("#keys form button")
	b.press("gy")
	b.until(`location.pathname === "/system"`)
	b.quiet()
}

// The theme button switches the colors of all pages, also of those that are opened later, and is not there without scripts.
func TestPageTheme(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	b.emulate(1000, "light")
	const background = `getComputedStyle(document.documentElement).backgroundColor`
	b.open(s.at("/"))
	b.until(`document.querySelector("#theme").textContent === "Theme: system"`)
	light := eval[string](b, background)
	b.emulate(1000, "dark")
	dark := eval[string](b, background)
	if light == dark {
		t.Fatalf("light and dark are both %s", light)
	}
	for _, want := range []struct{ name, color string }{{"light", light}, {"dark", dark}} {
		b.click("#theme")
		for _, path := range []string{"/", "/docs", "/jobs"} {
			b.open(s.at(path))
			for _, system := range []string{"light", "dark"} {
				b.emulate(1000, system)
				b.until(fmt.Sprintf(`document.querySelector("#theme").textContent === "Theme: %s" && %s === %q`, want.name, background, want.color))
			}
			b.accessible(path + " " + want.name)
			b.shot(want.name + strings.ReplaceAll(path, "/", "-"))
		}
	}
	b.click("#theme")
	b.until(`document.querySelector("#theme").textContent === "Theme: system"`)
	b.emulate(1000, "light")
	b.until(background + " === " + fmt.Sprintf("%q", light))
	b.quiet()
	b.scripts(false)
	b.open(s.at("/"))
	if eval[bool](b, `document.querySelector("#theme").checkVisibility() || document.querySelector("#keys-open").checkVisibility()`) {
		t.Error("buttons that need scripts are shown without them")
	}
}
