package api_test

import (
	"html"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
)

// commandsOf returns the curl commands on the page by their ids.
func commandsOf(t *testing.T, page string) map[string]string {
	t.Helper()
	commands := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?s)<pre id="curl-([^"]+)"[^>]*><code>(.*?)</code>`).FindAllStringSubmatch(page, -1) {
		commands[m[1]] = html.UnescapeString(m[2])
	}
	return commands
}

// TestReferenceCommands runs all commands of the reference as they stand there, but for the
// submissions of other services: a job is submitted, read, watched, retried and deleted.
func TestReferenceCommands(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s: the commands are not run", tool)
		}
	}
	credentials, keys := aliceAndBob(t)
	for name, c := range map[string]auth.Credentials{"open": {}, "secured": credentials} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, jobstest.SQLite(t), options{credentials: c})
			commands := commandsOf(t, f.do(t, "GET", "/docs", "").body)
			env := append(os.Environ(), "API_KEY="+keys["alice"])
			run := func(id string) string {
				t.Helper()
				command := commands[id]
				if command == "" {
					t.Fatalf("no command of %s", id)
				}
				delete(commands, id)
				cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command+" -w '\n%{http_code}'")
				cmd.Env = env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%s: %v: %s", command, err, out)
				}
				if lines := strings.Split(string(out), "\n"); lines[len(lines)-1][0] != '2' {
					t.Errorf("%s: %s", command, out)
				}
				return string(out)
			}
			field := func(text, name string) string {
				t.Helper()
				m := regexp.MustCompile(`"` + name + `":"([^"]+)"`).FindStringSubmatch(text)
				if m == nil {
					t.Fatalf("no %s in %s", name, text)
				}
				return m[1]
			}
			job := field(run("submit-maths.add"), "token")
			env = append(env, "JOB="+job)
			if out := run("stream-events"); !strings.Contains(out, "event: end") {
				t.Errorf("stream: %s", out)
			}
			if out := run("get-result"); !strings.HasPrefix(out, "7\n") {
				t.Errorf("result: %s", out)
			}
			receiver := f.newReceiver(t, keys["alice"])
			f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+`"}`, "Authorization: Bearer "+keys["alice"])
			var deliveries string
			for deadline := time.Now().Add(10 * time.Second); !strings.Contains(deliveries, `"delivered"`) && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				deliveries = f.do(t, "GET", "/v1/deliveries", "", "Authorization: Bearer "+keys["alice"]).body
			}
			env = append(env, "DELIVERY="+field(deliveries, "id"))
			env = append(env, "KEY="+field(run("create-callback-key"), "id"))
			if out := run("get-service"); !strings.Contains(out, `"input_schema"`) {
				t.Errorf("service: %s", out)
			}
			// A job that has ended cannot be canceled.
			commands["test-callback"] = strings.ReplaceAll(commands["test-callback"], "https://client.example/hooks/jobs", receiver)
			commands["cancel-job"] = strings.ReplaceAll(commands["cancel-job"], "$JOB", "$HELD")
			env = append(env, "HELD="+f.submit(t, "hold", `{"input": {}}`, "Authorization: Bearer "+keys["alice"]).ID)
			last := []string{"revoke-callback-key", "rotate-callback-keys", "delete-job"}
			for id := range commands {
				if id == "get-upload" && strings.Contains(commands[id], `/uploads/$UPLOAD"`) { // no job here has files
					continue
				}
				if strings.HasPrefix(id, "submit-") || id == last[0] || id == last[1] || id == last[2] {
					continue
				}
				run(id)
			}
			for _, id := range last {
				run(id)
			}
			if a := f.do(t, "GET", "/v1/jobs/"+job, ""); a.StatusCode != 410 && a.StatusCode != 404 {
				t.Errorf("the deleted job: %s", a.Status)
			}
		})
	}
}

// newReceiver returns the URL of a test receiver of the owner of the key.
func (f *fixture) newReceiver(t *testing.T, key string) string {
	t.Helper()
	authorization := "Authorization: Bearer " + key
	f.post(t, "/receiver/new", url.Values{}, authorization)
	m := regexp.MustCompile(`https://[^"<\s]+\.receiver\.invalid/`).FindString(f.do(t, "GET", "/receiver", "", authorization).body)
	if m == "" {
		t.Fatal("no receiver")
	}
	return m
}

// A service that takes files has an example command that uploads one, and its table marks the parts
// that are files.
func TestReferenceForm(t *testing.T) {
	t.Parallel()
	o, _ := withFiles(t, inDir, files.Limits{File: 1000, Total: 10_000})
	o.services = addRead
	f := newFixture(t, jobstest.SQLite(t), o)
	page := f.do(t, "GET", "/docs", "").body
	command := commandsOf(t, page)["submit-read-form"]
	file := filepath.Join(t.TempDir(), "a file.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command+" -H 'Prefer: wait=20'")
	cmd.Env = append(os.Environ(), "FILE="+file)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `"hello"`) {
		t.Errorf("%s: %v: %s", command, err, out)
	}
	if !regexp.MustCompile(`<code>input\.file</code> <small class="need">required</small></td><td>file`).MatchString(page) {
		t.Error("the table has no file")
	}
}

// The page describes parameters, bodies, responses and problems of an operation, with their
// limits and defaults, and links only to what is on it.
func TestReferencePage(t *testing.T) {
	t.Parallel()
	credentials, _ := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{services: addBuild, credentials: credentials})
	a := f.do(t, "GET", "/docs", "")
	operation := func(id string) string {
		_, after, _ := strings.Cut(a.body, `<section class="op" id="`+id+`"`)
		section, _, _ := strings.Cut(after, "</section>")
		return html.UnescapeString(section)
	}
	for id, wants := range map[string][]string{
		"submit-build": {
			"<code>/v1/services/build/jobs</code>", "Needs credentials.", "red, green", "at least 2", "such as 5", "Of the car.", "at most 500 characters", "list of string", "at most 1 items",
			"Idempotency-Key", "<summary>Options</summary>", "callback_url", "default 2", `href="#problem-queue-full"`, `href="#schema-Job.build"`, "text/event-stream", `-H "Authorization: Bearer $API_KEY"`, "then[].service",
		},
		"list-jobs":     {"at least 1; at most 200", "default 50", "query", "scheduled, queued", `href="#schema-JobListBody"`},
		"get-job":       {"Needs the job's token", `$JOB"`, "The job has not changed.", `href="#problem-job-removed"`, "Example response 200", `"thumbnail"`},
		"stream-events": {`href="#schema-Event"`, `href="#schema-EventLine"`, "curl -sN"},
		"live":          {"Public"},
	} {
		for _, want := range wants {
			if !strings.Contains(operation(id), want) {
				t.Errorf("%s has no %s", id, want)
			}
		}
	}
	if strings.Contains(operation("live"), "API_KEY") || strings.Contains(operation("get-job"), "API_KEY") {
		t.Error("a command sends a key that is not needed")
	}
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if ids[m[1]] {
			t.Errorf("two elements have the id %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		if !ids[m[1]] {
			t.Errorf("the link #%s leads nowhere", m[1])
		}
	}
	if strings.Contains(a.body, "base.invalid") || strings.Contains(a.body, ">SERVICE<") {
		t.Error("a placeholder is left")
	}
	if problems := regexp.MustCompile(`<tr id="problem-[^>]*><td>\d+</td><td><code>[^<]*</code></td><td class="meaning"></td>`).FindString(a.body); problems != "" {
		t.Errorf("a problem has no meaning: %s", problems)
	}
}
