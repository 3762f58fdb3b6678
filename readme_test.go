package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
)

// readme returns the code blocks of README.md in one language, by the heading
// they stand under.
func readme(t *testing.T, language string) map[string][]string {
	t.Helper()
	return codeBlocks(t, "README.md", language)
}

// codeBlocks does so for any file.
func codeBlocks(t *testing.T, file, language string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := make(map[string][]string)
	for section := range strings.SplitSeq(string(b), "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
			blocks[heading] = append(blocks[heading], m[1])
		}
	}
	return blocks
}

// one returns the only block under a heading.
func one(t *testing.T, blocks map[string][]string, heading string) string {
	t.Helper()
	if len(blocks[heading]) != 1 {
		t.Fatalf("README.md has %d blocks under %q, want 1", len(blocks[heading]), heading)
	}
	return blocks[heading][0]
}

// A shell runs the README's commands as they are printed, but for the ports,
// which may be taken, and with this program in the place of `go run .`.
type shell struct {
	t     *testing.T
	dir   string
	env   []string
	ports *strings.Replacer
	addr  string
}

func newShell(t *testing.T) *shell {
	t.Parallel()
	t.Helper()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REQUIRE_SERVICES") == "1" {
				t.Fatalf("REQUIRE_SERVICES=1 and no %s", tool)
			}
			t.Skipf("no %s: the README's commands are not run", tool)
		}
	}
	addr, other := jobstest.FreeAddr(t), jobstest.FreeAddr(t)
	return &shell{t: t, dir: t.TempDir(), env: append(os.Environ(), "ADDR="+addr, "COATCHECK_URL=http://"+addr), ports: strings.NewReplacer("127.0.0.1:5000", addr, "127.0.0.1:5001", other), addr: addr}
}

func (s *shell) command(script string) *exec.Cmd {
	const goRun = "go() { shift 2; coatcheck \"$@\"; }\n"
	cmd := exec.CommandContext(s.t.Context(), "bash", "-c", goRun+s.ports.Replace(script))
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a script to its end and returns what it prints.
func (s *shell) run(script string) string {
	s.t.Helper()
	out, err := s.command(script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s\n%s\n%v", script, out, err)
	}
	return string(out)
}

// start starts a script that runs until the test is over.
func (s *shell) start(script string) {
	s.t.Helper()
	s.startUntil(script)
}

// startUntil starts a script that runs until stop is called, or until the test is over.
func (s *shell) startUntil(script string) (stop func()) {
	s.t.Helper()
	cmd := s.command("exec " + strings.Replace(strings.TrimSpace(script), "go run .", "coatcheck", 1))
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil && s.t.Context().Err() == nil {
			s.t.Errorf("%s: %v\n%s", script, err, &log)
		}
		jobstest.NoSecrets(s.t, log.String())
	})
	s.t.Cleanup(stop)
	return stop
}

// ready waits until the server answers.
func (s *shell) ready() {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + s.addr + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the server does not get ready")
		}
	}
}

func contains(t *testing.T, what, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: no %q in %s", what, want, got)
		}
	}
}

func TestReadmeRun(t *testing.T) {
	blocks := readme(t, "sh")
	s := newShell(t)
	s.start(one(t, blocks, "Run it"))
	s.ready()
	life := blocks["A job's life"]
	if len(life) != 7 {
		t.Fatalf("a job's life has %d blocks, want 7", len(life))
	}
	submit := life[0]
	contains(t, "submit", s.run(submit), "202 Accepted", `"status":"queued"`)
	job := regexp.MustCompile(`job=.*`).FindString(submit) + "\n"
	contains(t, "watch", s.run(job+life[1]), "event: snapshot", "event: progress", `event: end\ndata: .*"output":"hello, Ada"`)
	contains(t, "ask", s.run(job+life[2]), `"status":"succeeded"`)
	contains(t, "fetch", s.run(job+life[3]), `"hello, Ada"`)
	contains(t, "be told", s.run(life[4]), `signature: valid`, `"type": "job.succeeded"`, `"output": 7`)
	contains(t, "run", s.run(life[5]), `100%  slept 2s of 2s`, `"hello, Ada"\n`)
	contains(t, "look after", s.run(life[6]), `seconds +number +required`, `Tags +demo`, `canceled|asked to stop`, `job_\w+\tsleep\t`, `job\.succeeded\tdelivered`)

	configure := readme(t, "sh")["Configure it"]
	if len(configure) != 1 {
		t.Fatalf("%d blocks", len(configure))
	}
	hash := strings.TrimSpace(s.run(configure[0]))
	file := one(t, readme(t, "yaml"), "Configure it")
	if _, err := load(write(t, regexp.MustCompile(`\$argon2id.*…`).ReplaceAllLiteralString(file, hash)), noEnv, nil); err != nil {
		t.Errorf("the configuration of the README: %v", err)
	}
	if test := strings.TrimSpace(one(t, blocks, "Test it")); test != "go test ./..." {
		t.Errorf("the test command is %q; .ci/run has another", test)
	}
}

// Every command of docs/api.md does what stands around it.
func TestDocsAPI(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	blocks := codeBlocks(t, "docs/api.md", "sh")
	for _, section := range []struct {
		heading string
		wants   [][]string // of each block
	}{
		{"Submit", [][]string{
			{`"status":"(queued|scheduled)"`, `"token":"job_`, `"priority":1`, `"metadata":\{"order": ?"A-17"\}`},
			{`(?i)Idempotent-Replayed: true`},
			{`200 OK`, `"output":42`, `Preference-Applied: wait=10`},
			{`"output":700`, `"steps":2`},
		}},
		{"Poll", [][]string{{`"status":"succeeded"`, `"output":7`, `304 Not Modified`}, {`\n7\n`, `text/plain`}}},
		{"List", [][]string{{`"data":\[\{"id":"job_`, `"next_cursor":null`}}},
		{"Cancel, retry, delete", [][]string{{`200 OK`, `"status":"canceled"`, `changed my mind`}, {`202 Accepted`, `"retry_of":"job_`}, {`204 No Content`, `404 Not Found`}}},
		{"Errors", [][]string{{`422 Unprocessable`, `"code":"invalid-input"`, `body.input.seconds`, `body.input.nmae`, `body.priority`}}},
	} {
		if len(blocks[section.heading]) != len(section.wants) {
			t.Fatalf("%d blocks under %s, want %d", len(blocks[section.heading]), section.heading, len(section.wants))
		}
		for i, block := range blocks[section.heading] {
			out := s.run("touch variables; . ./variables\n" + block + "\ndeclare -p id token waiting >variables 2>&- || true")
			contains(t, section.heading, out, section.wants[i]...)
		}
		delete(blocks, section.heading)
	}
	if len(blocks) > 0 {
		t.Errorf("not run: %v", blocks)
	}
}

// The README's own service is added as it says, and run.
func TestReadmeService(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the program is not built again")
	}
	blocks := readme(t, "go")["Add your own service"]
	if len(blocks) != 2 {
		t.Fatalf("%d blocks", len(blocks))
	}
	s := newShell(t)
	register, err := os.ReadFile("services/services.go")
	if err != nil {
		t.Fatal(err)
	}
	const last = "\n}\n"
	if !strings.HasSuffix(string(register), last) {
		t.Fatal("services.go does not end with Register")
	}
	files := map[string]string{"shout.go": blocks[0], "services.go": strings.TrimSuffix(string(register), last) + "\n" + blocks[1] + "}\n"}
	overlay := make(map[string]string)
	for name, text := range files {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		target, err := filepath.Abs(filepath.Join("services", name))
		if err != nil {
			t.Fatal(err)
		}
		overlay[target] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "overlay.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(s.dir, "shouting")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(s.dir, "overlay.json"), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.start(program)
	s.ready()
	url := "http://" + s.addr + "/v1/services/shout/jobs"
	contains(t, "shout", s.run(`curl -si `+url+` -H 'Prefer: wait=20' --json '{"input": {"text": "hear me"}}'`), "200 OK", `"output":"HEAR ME!"`)
	contains(t, "shout nothing", s.run(`curl -si `+url+` --json '{"input": {"text": ""}}'`), "422", "body.input.text")
}

func TestReadmeScaleOut(t *testing.T) {
	s := newShell(t)
	lines := strings.Split(strings.TrimSpace(one(t, readme(t, "sh"), "Scale out")), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "export DATABASE_URL=") {
		t.Fatalf("lines are %q", lines)
	}
	database := jobstest.PostgresURL(t)
	s.env = append(s.env, "DATABASE_URL="+database, "REDIS_URL="+jobstest.RedisURL(t), "REDIS_PREFIX="+filepath.Base(database))
	s.env = append(s.env, strings.TrimSpace(s.run(lines[1]+"\nenv | grep ^SECRET_KEY=")))
	s.start(lines[2])
	s.ready()
	s.start(lines[3])
	resp, err := http.Post("http://"+s.addr+"/v1/services/maths.add/jobs", "application/json", strings.NewReader(`{"input":{"a":3,"b":4}}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := http.Get(resp.Header.Get("Location") + "?wait=30")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, "result", string(b), `"output":7`)
}
