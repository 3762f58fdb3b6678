package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Every command of docs/operating.md is run, and what it says of metrics and
// checks is what the server has.
func TestDocsOperating(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	s.run("coatcheck run maths.add a=3 b=4")
	blocks := codeBlocks(t, "docs/operating.md", "sh")
	seen := s.run(one(t, blocks, "Monitor"))
	contains(t, "watch", seen, `"status":"ok"`, `coatcheck_jobs_ended_total{service="maths.add",status="succeeded"} 1`)
	contains(t, "back up", s.run(one(t, blocks, "Back up")+"ls -d backup-*"), `^Backed up to (backup-\S+)\n`, `\nbackup-`)
	if len(blocks) != 2 {
		t.Errorf("not run: %v", slices.Collect(maps.Keys(blocks)))
	}
	doc, err := os.ReadFile("docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	inDoc := names(string(doc), "`(coatcheck_[a-z_]+)")
	inServer := names(s.run("curl -s http://127.0.0.1:5000/metrics"), `(?m)^# TYPE (coatcheck_[a-z_]+)`)
	if !slices.Equal(inDoc, inServer) {
		t.Errorf("docs/operating.md has the metrics\n%v\nthe server\n%v", inDoc, inServer)
	}
	for _, m := range regexp.MustCompile(`"name":"([a-z]+)"`).FindAllStringSubmatch(seen, -1) {
		contains(t, "checks", string(doc), "\\| `/readyz`: `"+m[1]+"` \\|")
	}
}

// names returns what the group matches, sorted, each once.
func names(text, pattern string) []string {
	found := make(map[string]bool)
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Source files that the documents name exist.
func TestDocsSourceFiles(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range append(documents, "README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names(string(text), "`([a-z_]+/[a-z_/]+\\.(?:go|js|html|css|sql|json))`") {
			if _, err := os.Stat(name); err != nil && name != "services/shout.go" { // the reader writes that one
				t.Errorf("%s: %v", path, err)
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("%d names found, want at least 10", checked)
	}
}

// Links between the documents lead to files and headings that exist.
func TestDocsLinks(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := func(path string) map[string]bool {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		found := map[string]bool{"": true}
		for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
			slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
			found[strings.ReplaceAll(slug, " ", "-")] = true
		}
		return found
	}
	links := 0
	for _, document := range append(documents, "README.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^):\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			name, anchor, _ := strings.Cut(m[1], "#")
			path := document
			if name != "" {
				path = filepath.Join(filepath.Dir(document), name)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", document, err)
			} else if strings.HasSuffix(path, ".md") && !headings(path)[anchor] {
				t.Errorf("%s: %s has no heading %q", document, path, anchor)
			}
		}
	}
	if links < 20 {
		t.Errorf("%d links found, want at least 20", links)
	}
}

// The log messages that docs/operating.md quotes are in the source.
func TestDocsOperatingLog(t *testing.T) {
	doc, err := os.ReadFile("docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, pattern := range []string{"api/*.go", "api/*/*.go", "jobs/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, found...)
	}
	var code strings.Builder
	for _, source := range sources {
		b, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	messages := regexp.MustCompile("(?m)^\\| `([^`]+ [^`]+)` \\|").FindAllStringSubmatch(string(doc), -1)
	if len(messages) < 5 {
		t.Errorf("found only %q", messages)
	}
	for _, m := range messages {
		if !strings.Contains(code.String(), `Context(ctx, "`+m[1]+`"`) && !strings.Contains(code.String(), `ogger.Warn("`+m[1]+`"`) {
			t.Errorf("nothing logs %q", m[1])
		}
	}
}

// The alerts are of metrics that there are.
func TestAlerts(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	b, err := os.ReadFile("docs/operating/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil || len(file.Groups) != 1 || len(file.Groups[0].Rules) == 0 {
		t.Fatal(file, err)
	}
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	metrics := s.run("curl -s http://127.0.0.1:5000/metrics")
	for _, rule := range file.Groups[0].Rules {
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", rule.Alert)
		}
		selectors := regexp.MustCompile(`(coatcheck_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(rule.Expr, -1)
		if len(selectors) == 0 && !strings.HasPrefix(rule.Expr, "up{") {
			t.Errorf("%s looks at nothing", rule.Alert)
		}
		for _, m := range selectors {
			label := strings.Replace(m[2], "!=", "=", 1)
			if !regexp.MustCompile(`(?m)^` + m[1] + `(\{[^}]*` + regexp.QuoteMeta(label) + `| )`).MatchString(metrics) {
				t.Errorf("%s: there is no %s", rule.Alert, m[0])
			}
		}
	}
}

// systemd understands its unit.
func TestSystemdUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze: the unit is not checked")
	}
	unit, err := os.ReadFile("docs/operating/coatcheck.service")
	if err != nil {
		t.Fatal(err)
	}
	const program = "/usr/local/bin/coatcheck"
	if !strings.Contains(string(unit), "ExecStart="+program+" ") {
		t.Fatal("the unit starts something else")
	}
	path, err := exec.LookPath("coatcheck")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "coatcheck.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(unit), program, path)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "coatcheck.service") {
		t.Errorf("%v\n%s", err, out)
	}
}
