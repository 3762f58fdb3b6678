package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

// Every step of docs/tutorial.md does what stands around it.
func TestTutorial(t *testing.T) {
	const doc = "docs/tutorial.md"
	s := newShell(t)
	sh, python := codeBlocks(t, doc, "sh"), codeBlocks(t, doc, "python")
	save := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	steps := func(heading string, n int) []string {
		t.Helper()
		if len(sh[heading]) != n {
			t.Fatalf("%d blocks under %s, want %d", len(sh[heading]), heading, n)
		}
		blocks := sh[heading]
		delete(sh, heading)
		return blocks
	}
	save("report.py", one(t, python, "2. The slow code"))
	contains(t, "alone", s.run(steps("2. The slow code", 1)[0]), `page 2\n\{"pages": 2, "title": "SALES"\}`)
	save("coatcheck.yaml", one(t, codeBlocks(t, doc, "yaml"), "3. Describe it"))
	describe := steps("3. Describe it", 2)
	contains(t, "check", s.run(describe[0]), `is valid\. Services: .*report\.make`)
	stop := s.startUntil(describe[1])
	s.ready()

	run := steps("4. Run a job", 4)
	contains(t, "submit", s.run(run[0]), `202 Accepted`, `"token":"job_`)
	location := regexp.MustCompile(`job=.*`).FindString(run[0]) + "\n"
	contains(t, "wait", s.run(location+run[1]), `"status":"succeeded"`, `"output":\{"pages": ?3, ?"title": ?"SALES"\}`)
	contains(t, "refused", s.run(run[2]), `"status":422`, `body\.input\.pages`, `body\.input\.titel`)
	contains(t, "the command line", s.run(run[3]), `info: page 3`, `"title": ?"SALES"`)

	save("report.py", one(t, python, "5. Show progress"))
	contains(t, "progress", s.run(steps("5. Show progress", 1)[0]), `event: progress\ndata: .*"percent":33`, `event: end\n`, `"UNTITLED"`)
	contains(t, "a callback", s.run(steps("7. Get a callback", 1)[0]), `job\.succeeded`, `signature`)

	kill := steps("8. Kill it", 2)
	lines := strings.Split(strings.TrimSpace(kill[0]), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[2], "pkill -KILL") {
		t.Fatalf("lines are %q", lines)
	}
	s.run(strings.Join(lines[:2], "\n"))
	stop() // other servers of this kind may run on this machine; other tests kill them
	stop = s.startUntil(describe[1])
	s.ready()
	contains(t, "after the kill", s.run(kill[1]), `"pages": ?20`)
	stop()

	scale := steps("9. Use several processes", 2)
	lines = strings.Split(strings.TrimSpace(scale[0]), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "export DATABASE_URL=") {
		t.Fatalf("lines are %q", lines)
	}
	database := jobstest.PostgresURL(t)
	s.env = append(s.env, "DATABASE_URL="+database, "REDIS_URL="+jobstest.RedisURL(t), "REDIS_PREFIX="+filepath.Base(database))
	s.env = append(s.env, strings.TrimSpace(s.run(lines[1]+"\nenv | grep ^SECRET_KEY=")))
	s.start(lines[2])
	s.ready()
	s.start(scale[1])
	s.start(scale[1])
	contains(t, "with workers", s.run(run[3]), `info: page 3`, `"title": ?"SALES"`)
	if len(sh) > 0 {
		t.Errorf("not run: %v", sh)
	}
}
