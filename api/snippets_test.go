package api_test

import (
	"context"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs/jobstest"
)

// TestSnippets runs the calls that pages show as they stand there, where their
// runtime is installed.
func TestSnippets(t *testing.T) {
	t.Parallel()
	credentials, keys := aliceAndBob(t)
	for name, c := range map[string]auth.Credentials{"open": {}, "secured": credentials} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, jobstest.SQLite(t), options{credentials: c})
			auth := "Authorization: Bearer " + keys["alice"]
			job := f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}}`, auth)
			for page, want := range map[string]string{"/services/maths.add": "7", "/jobs/" + job.ID: "7"} {
				a := f.do(t, "GET", page, "", auth)
				found := regexp.MustCompile(`(?s)<pre id="(?:submit|job)-(\w+)"[^>]*><code>(.*?)</code>`).FindAllStringSubmatch(a.body, -1)
				if len(found) != 4 {
					t.Fatalf("%s has %d snippets, want 4", page, len(found))
				}
				for _, m := range found {
					t.Run(page+" "+m[1], func(t *testing.T) {
						if out := runSnippet(t, m[1], html.UnescapeString(m[2]), "API_KEY="+keys["alice"]); !strings.Contains(out, "succeeded") || !strings.Contains(out, want) {
							t.Errorf("got %s", out)
						}
					})
				}
			}
		})
	}
}

// runSnippet runs a program and returns what it prints.
func runSnippet(t *testing.T, language, code, env string) string {
	t.Helper()
	commands := map[string][]string{"sh": {"bash"}, "mjs": {"node"}, "go": {"go", "run"}, "py": {"python3"}}
	command := commands[language]
	for _, tool := range append(command[:1:1], map[string]string{"sh": "curl"}[language]) {
		if _, err := exec.LookPath(tool); tool != "" && err != nil {
			if os.Getenv("REQUIRE_SERVICES") == "1" && language != "mjs" {
				t.Fatalf("REQUIRE_SERVICES=1 and no %s", tool)
			}
			t.Skipf("no %s: the snippet is not run", tool)
		}
	}
	file := filepath.Join(t.TempDir(), "snippet."+language)
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], file)...)
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v in\n%s", err, code)
	}
	return string(out)
}
