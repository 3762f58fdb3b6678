package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Pages below a list lead back to it, and ids are copied by a button that says what it copies.
func TestPageCrumbs(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	b := newBrowser(t)
	paths := screens(s, b)
	for name, want := range map[string]string{
		"chain": "Jobs /jobs " + strings.TrimPrefix(paths["chain"], "/jobs/"), "delivery": "Callbacks /deliveries " + strings.TrimPrefix(paths["delivery"], "/deliveries/"),
		"json": "Services /services maths.add",
	} {
		b.open(s.at(paths[name]))
		const crumbs = `(nav => nav.querySelector("a").textContent + " " + nav.querySelector("a").getAttribute("href") + " " + nav.querySelector("[aria-current=page]").textContent)(document.querySelector("nav[aria-label=Breadcrumb]"))`
		if got := eval[string](b, crumbs); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		for _, width := range []int64{360, 1100} {
			b.emulate(width, "light")
			b.accessible(name)
			b.shot(name)
		}
	}
	b.open(s.at(paths["share"]))
	if got := eval[float64](b, `document.querySelectorAll("nav[aria-label=Breadcrumb], #keys-open").length`); got != 0 && !eval[bool](b, `document.querySelector("nav[aria-label=Main]") !== null`) {
		t.Errorf("a viewer who may not open the list gets %v links to it", got)
	}
	for path, labels := range map[string][]string{paths["chain"]: {"job-id", "Copy ID"}, paths["delivery"]: {"delivery-job", "Copy job ID"}} {
		b.open(s.at(path))
		button := `document.querySelector('button.copy[data-copy="` + labels[0] + `"]')`
		b.do(chromedp.Evaluate[chromedp.Void](`Object.defineProperty(navigator, "clipboard", { value: { writeText: async text => { window.copied = text; } } })`))
		b.click(`button.copy[data-copy="` + labels[0] + `"]`)
		b.until(button + `.textContent === "Copied" && window.copied === "` + strings.TrimPrefix(paths["chain"], "/jobs/") + `"`)
		b.click(`button.copy[data-copy="` + labels[0] + `"]`) // again, while it says so
		b.until(button + `.textContent === "` + labels[1] + `"`)
	}
	b.quiet()
}

// A page whose session ended says so, instead of that it is live.
func TestPageSignedOut(t *testing.T) {
	s := newShell(t)
	hash := strings.TrimSpace(s.run(`echo 'correct horse battery staple' | coatcheck hash-password`))
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte("httpauth:\n  alice: \""+hash+"\"\nadmins: [alice]\nlog: {level: info}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config config.yaml")
	s.ready()
	b := newBrowser(t)
	b.open(s.at("/login"))
	b.do(chromedp.KeyEvent("alice\tcorrect horse battery staple\r"))
	b.until(`location.pathname === "/"`)
	b.click(`a[href="/settings"]`)
	b.until(`location.pathname === "/settings" && document.querySelector("#account + dl").textContent.includes("Session ends")`)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1100} {
			b.emulate(width, scheme)
			b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#defaults").open = ` + map[bool]string{true: "true", false: "false"}[scheme == "dark"]))
			b.accessible("settings")
			b.shot("settings " + scheme + map[int64]string{360: " phone", 1100: " desk"}[width])
		}
	}
	b.open(s.at("/jobs"))
	other := b.tab(t)
	other.open(s.at("/jobs"))
	other.click(`form[action="/logout"] button`)
	other.until(`location.pathname === "/login"`)
	b.hide(false)
	b.until(`document.querySelector("#connection.lost")?.textContent.startsWith("▲ Signed out, last updated ") && !document.querySelector("#fresh").checkVisibility()`)
	b.shot("signed out")
	b.quiet()
}
