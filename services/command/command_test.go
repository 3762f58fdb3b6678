//go:build unix

package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/jobs"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == GuardCommand {
		run := Guard
		if len(os.Args) > 2 {
			run = func() error { return Become(os.Args[2:]) }
		}
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// parse parses the settings of one command, test.
func parse(t *testing.T, settings string) (*Command, error) {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte("test:\n  "+strings.ReplaceAll(settings, "\n", "\n  ")), &node); err != nil {
		t.Fatal(err)
	}
	commands, err := Parse(node.Content[0], "testdata")
	if err != nil {
		return nil, err
	}
	return commands[0], nil
}

func newCommand(t *testing.T, settings string) *Command {
	t.Helper()
	c, err := parse(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A recorder is a reporter that keeps what a job reports.
type recorder struct {
	mu       sync.Mutex
	progress []float64
	messages []string
	log      []string
	output   strings.Builder
}

func (r *recorder) Progress(percent float64, message string, _ any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress, r.messages = append(r.progress, percent), append(r.messages, message)
}

func (r *recorder) Log(level, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, level+": "+line)
}

func (r *recorder) Output(chunk string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.output.WriteString(chunk)
}

// A program gets the input as arguments or on standard input, and returns what it prints.
func TestRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings, input, want, wantErr string
		permanent                      bool
	}{
		"input on standard input":         {`run: [cat]` + "\ninput: {properties: {a: {type: integer}}}", `{"a": 3}`, `{"a":3}`, "", false},
		"default":                         {`run: [cat]` + "\ninput: {properties: {a: {type: integer, default: 5}}}", `{}`, `{"a":5}`, "", false},
		"null counts as missing":          {`run: [echo, "{{input.a}}"]` + "\ninput: {properties: {a: {type: integer, default: 5}}}", `{"a": null}`, `5`, "", false},
		"arguments":                       {`run: [printf, '%s|', "a{{input.s}}b", "{{ input.n }}", "{{input.b}}"]` + "\ninput: {required: [s, n, b], properties: {s: {type: string}, n: {type: number}, b: {type: boolean}}}\noutput: text", `{"s": "x \"$HOME\" ; é", "n": -1.50, "b": true}`, `"ax \"$HOME\" ; éb|-1.50|true|"`, "", false},
		"no input with placeholders":      {`run: [sh, -c, 'cat; echo "$0"', "{{input.s}}"]` + "\ninput: {required: [s], properties: {s: {type: string}}}\noutput: text", `{"s": "x"}`, `"x"`, "", false},
		"option":                          {`run: [echo, "{{input.s}}"]` + "\ninput: {required: [s], properties: {s: {type: string}}}", `{"s": "--help"}`, ``, "must not begin with -", true},
		"option that is allowed":          {`run: [echo, "{{input.s}}"]` + "\ninput: {required: [s], properties: {s: {type: string}}}\nallow_options: true\noutput: text", `{"s": "--x"}`, `"--x"`, "", false},
		"option inside":                   {`run: [echo, "--name={{input.s}}"]` + "\ninput: {required: [s], properties: {s: {type: string}}}\noutput: text", `{"s": "--x"}`, `"--name=--x"`, "", false},
		"nothing printed":                 {`run: ["true"]`, `{}`, `null`, "", false},
		"lines":                           {`run: [printf, 'a\n\nb']` + "\noutput: lines", `{}`, `["a","","b"]`, "", false},
		"no lines":                        {`run: ["true"]` + "\noutput: lines", `{}`, `[]`, "", false},
		"bytes that are no UTF-8":         {`run: [printf, 'a\377b']` + "\noutput: text", `{}`, `"a�b"`, "", false},
		"no JSON":                         {`run: [echo, hello]`, `{}`, ``, `standard output is not JSON`, true},
		"two values":                      {`run: [printf, '1 2']`, `{}`, ``, `standard output is not JSON`, true},
		"exit status":                     {`run: [sh, -c, 'echo no luck >&2; exit 3']`, `{}`, ``, "exit status 3: no luck", false},
		"permanent exit status":           {`run: [sh, -c, 'exit 2']` + "\nretry: {permanent_exit: [2, 64]}", `{}`, ``, "exit status 2", true},
		"signal":                          {`run: [sh, -c, 'kill -KILL $$']` + "\nretry: {permanent_exit: [2]}", `{}`, ``, "ended by signal: killed", false},
		"stops itself by SIGTERM":         {`run: [sh, -c, 'kill $$']`, `{}`, ``, "ended by signal: terminated", false},
		"too much":                        {`run: [sh, -c, 'yes | head -c 100000000']` + "\noutput: text", `{}`, ``, "its standard output has more than 4194304 bytes, the limit limits.max_output", true},
		"exactly as much as is allowed":   {`run: [sh, -c, 'yes | head -c 4194304 | wc -c; yes | head -c 4194296 | tr y " "']`, `{}`, `4194304`, "", false},
		"last lines of an error":          {`run: [sh, -c, 'seq 1 100000 >&2; exit 1']`, `{}`, ``, "99999\n100000", false},
		"a child that stays":              {`run: [sh, -c, 'sleep 1000 & echo 1']`, `{}`, `1`, "", false},
		"byte order mark":                 {`run: [printf, '\357\273\277{"a": 1}']`, `{}`, `{"a": 1}`, "", false},
		"an argument too long":            {`run: [echo, "{{input.s}}"]` + "\ninput: {required: [s], properties: {s: {type: string}}}", `{"s": "` + strings.Repeat("x", 128<<10) + `"}`, ``, "can take at most 131071", true},
		"aliases":                         {`run: &a [echo, &b "x", *b]` + "\noutput: text", `{}`, `"x x"`, "", false},
		"merge key":                       {`<<: {output: text, run: [echo, merged]}` + "\nrun: [echo, own]", `{}`, `"own"`, "", false},
		"a date as default":               {`run: [echo, "{{input.d}}"]` + "\ninput: {properties: {d: {type: string, format: date, default: 2024-01-01}}}\noutput: text", `{}`, `"2024-01-01"`, "", false},
		"true as a schema":                {`run: [cat]` + "\ninput: {properties: {x: true}}", `{"x": 1}`, `{"x":1}`, "", false},
		"no terminal":                     {`run: [sh, -c, 'read x </dev/tty || echo none']` + "\noutput: text", `{}`, `"none"`, "", false},
		"standard input that is not read": {`run: [echo, "1"]` + "\ninput: {properties: {s: {type: string}}}", `{"s": "` + strings.Repeat("x", 1<<20) + `"}`, `1`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCommand(t, tt.settings)
			got, err := c.run(jobs.WithReporter(t.Context(), new(recorder)), json.RawMessage(tt.input))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || errors.Is(err, jobs.ErrPermanent) != tt.permanent {
					t.Errorf("got error %v, permanent %t, want %q, %t", err, errors.Is(err, jobs.ErrPermanent), tt.wantErr, tt.permanent)
				}
				return
			}
			if err != nil || strings.TrimSpace(string(got)) != tt.want {
				t.Errorf("got %.200s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// A program reports progress, log lines and output on file descriptor 3 and on standard
// error, where carriage returns end lines.
func TestReports(t *testing.T) {
	t.Parallel()
	c := newCommand(t, `run: [bash, -c, 'printf "one\r10 of 40\r30 of 40\ntwo" >&2; printf "{\"progress\": 80, \"message\": \"m\"}\n{\"log\": \"l\", \"level\": \"warning\"}\nnonsense\n{\"output\": \"chunk\"}" >&3; echo 1']
progress: {match: '(\d+) of', of: "{{input.total}}"}
input: {properties: {total: {type: integer, default: 40}}}`)
	r := new(recorder)
	if _, err := c.run(jobs.WithReporter(t.Context(), r), json.RawMessage("{}")); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.progress)
	slices.Sort(r.log)
	if want := []float64{25, 75, 80}; !slices.Equal(r.progress, want) {
		t.Errorf("progress %v, want %v", r.progress, want)
	}
	if got := fmt.Sprint(r.log); !strings.HasPrefix(got, "[info: one info: two warning: file descriptor 3: expected") || !strings.Contains(got, "warning: l") || len(r.log) != 4 {
		t.Errorf("log %s", got)
	}
	if r.output.String() != "chunk" {
		t.Errorf("output %q", &r.output)
	}
}

// A line without an end takes no memory.
func TestLongLine(t *testing.T) {
	t.Parallel()
	c := newCommand(t, `run: [sh, -c, 'head -c 10000000 /dev/zero | tr "\0" x >&2; echo 1']`)
	r := new(recorder)
	if _, err := c.run(jobs.WithReporter(t.Context(), r), json.RawMessage("{}")); err != nil {
		t.Fatal(err)
	}
	if len(r.log) != 1 || len(r.log[0]) > maxLogLine+100 || !strings.HasSuffix(r.log[0], "x…") {
		t.Errorf("%d lines, the first has %d bytes", len(r.log), len(r.log[0]))
	}
}

// Of the server's environment, a program sees what is needed and what the configuration
// names.
func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_KEY", "s3cret")
	t.Setenv("PASSED", "p")
	c := newCommand(t, "run: [env]\noutput: lines\nenv: {pass: [PASSED], set: {OMP_NUM_THREADS: \"2\"}}")
	got, err := c.run(t.Context(), json.RawMessage("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"PASSED=p"`, `"OMP_NUM_THREADS=2"`, `"COATCHECK_SERVICE=test"`, `"PATH=`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(string(got), "s3cret") {
		t.Error("the program sees a secret of the server")
	}
}

// A program runs in a directory of its own, which is removed.
func TestDirectory(t *testing.T) {
	t.Parallel()
	c := newCommand(t, "run: [sh, -c, 'touch file; pwd; ls']\noutput: lines")
	got, err := c.run(t.Context(), json.RawMessage("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := json.Unmarshal(got, &lines); err != nil || len(lines) != 2 || lines[1] != "file" {
		t.Fatalf("got %s", got)
	}
	if _, err := os.Stat(lines[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", lines[0], err)
	}
}

// stubborn ignores SIGTERM, and its children leave its process group. Each sleeps for a
// number of seconds that the test recognizes.
const stubborn = `run: [bash, -c, 'trap "" TERM; sleep %[1]d1 & (setsid sleep %[1]d2 &); setsid sleep %[1]d3 & touch "$0"; sleep %[1]d4; wait', "%[2]s"]`

// Cancellation ends the program and all that it started.
func TestCancel(t *testing.T) {
	t.Parallel()
	number, started := os.Getpid()*10, filepath.Join(t.TempDir(), "started")
	c := newCommand(t, fmt.Sprintf(stubborn, number, started))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.run(ctx, json.RawMessage("{}"))
		done <- err
	}()
	waitFor(t, "start of the program", func() bool { _, err := os.Stat(started); return err == nil })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := sleepers(t, number); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

// What a shell has started gets the time to end, too.
func TestCancelGrace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCommand(t, fmt.Sprintf(`run: [sh, -c, "bash -c 'trap \"sleep 0.3; touch %[1]s/ended; exit\" TERM; touch %[1]s/started; while :; do sleep 0.05; done'; exit 3"]`, dir))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.run(ctx, json.RawMessage("{}"))
	}()
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	waitFor(t, "start of the program", func() bool { return exists("started") })
	cancel()
	<-done
	if !exists("ended") {
		t.Error("the shell's child had no time to end")
	}
}

// A program whose guard is killed ends, too.
func TestGuardIsKilled(t *testing.T) {
	t.Parallel()
	number := os.Getpid()*10 + 1
	c := newCommand(t, fmt.Sprintf(`run: [bash, -c, 'sleep %[1]d & sleep 0.3; kill -KILL $PPID; sleep %[1]d']`, number))
	if _, err := c.run(t.Context(), json.RawMessage("{}")); err == nil || !strings.Contains(err.Error(), "guard") {
		t.Errorf("got %v", err)
	}
	waitFor(t, "end of the program", func() bool { return sleepers(t, number) == "" })
}

// Directories that can't be written are removed, too.
func TestDirectoryWithoutRights(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.MkdirAll(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	removeAll(dir)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there")
	}
}

// sleepers returns the processes that stubborn has started.
func sleepers(t *testing.T, number int) string {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "pid,args").Output()
	if err != nil {
		t.Skip("no ps: the process table is not checked")
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, fmt.Sprintf("sleep %d", number)) && !strings.Contains(line, "bash") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

// Every mistake is reported with its line, and with what would be right.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ settings, want string }{
		{"summary: x", "line 2: commands.test: run is missing"},
		{"run: ls", "line 2: commands.test.run: expected a list"},
		{"run: []", "line 2: commands.test.run: expected a program"},
		{"run: [ls]\nrum: 1", "line 3: unknown setting commands.test.rum: expected allow_options, concurrency, env, input, limits, output, progress, retry, run, summary, timeout"},
		{"run: [ls]\nrun: [cat]", "line 3: commands.test.run is set twice"},
		{"run: [ls]\noutput: xml", "line 3: commands.test.output: expected json, text, lines"},
		{"run: [ls]\ntimeout: soon", "line 3: commands.test.timeout: expected a duration such as 30m"},
		{"run: [ls]\nretry: {attempts: 0}", "line 3: commands.test.retry.attempts: expected a number from 1 to 100"},
		{"run: [ls]\nretry: {permanent_exit: [256]}", "line 3: commands.test.retry.permanent_exit: expected a number from 1 to 255"},
		{"run: [ls, '{{input.x}}']", `line 2: commands.test.run: {{input.x}}: the schema under input has no property "x"`},
		{"run: [ls, '{{x}}']", "line 2: commands.test.run: {{x}} is no placeholder: expected {{input.NAME}}"},
		{"run:\n  - ls\n  - '{{input.x}}'\ninput: {properties: {x: {type: string}}}", `line 4: commands.test.run: {{input.x}}: property "x" must be required, or have a default`},
		{"run: [ls, '{{input.x}}']\ninput: {required: [x], properties: {x: {type: array}}}", `line 2: commands.test.run: {{input.x}}: the type of property "x" must be string, number, integer or boolean`},
		{"run: ['{{input.x}}']\ninput: {required: [x], properties: {x: {type: string}}}", "line 2: commands.test.run: expected the name or path of a program, without placeholders"},
		{"run: [ls]\ninput: {type: array}", "expected type object, got array"},
		{"run: [ls]\ninput: {properties: {x: {type: strng}}}", "line 3: commands.test.input: this is no JSON Schema that can be used"},
		{"run: [ls]\ninput: {properties: {x: {$ref: '#'}}}", "input.x.$ref is not supported: write the schema out"},
		{"run: [ls]\ninput: {properties: {x: {type: [string, 'null']}}}", "input.x.type: a list of types is not supported"},
		{"run: [ls]\ninput: {properties: {'': {type: string}}}", "a property has an empty name"},
		{"run: [ls]\ninput: {properties: {x: {maxLength: 1e30}}}", "input.x.maxLength: expected a whole number"},
		{"run: [ls]\ninput: {properties: {x: {type: integer, default: --help}}}", "the default of x does not fit its schema"},
		{"run: [ls, '{{input.x}}']\ninput: {properties: {x: {type: string, default: null}}}", "must be required, or have a default"},
		{"run: [ls]\ninput: {required: [y]}", `required names "y", which is not among the properties`},
		{"run: [ls]\ninput: &a {properties: {x: *a}}", "nested too deep"},
		{"run: [ls, ~]", "line 2: commands.test.run: expected a text"},
		{"run: [ls, {{input.x}}]", "put a text that begins with { in quotes"},
		{"run: [ls]\nenv: {set: {A: 1, A: 2}}", "commands.test.env.set.A is set twice"},
		{"run: [ls]\nprogress: {match: '(\\d+)', of: abc}", "commands.test.progress.of: expected a number above 0"},
		{"run: [ls]\nprogress: {match: 'x'}", "line 3: commands.test.progress.match: expected a regular expression (RE2) with one group"},
		{"run: [ls]\nenv: {pass: [A=B]}", `line 3: commands.test.env.pass: "A=B" is no name of an environment variable`},
	} {
		if _, err := parse(t, tt.settings); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", tt.settings, err, tt.want)
		}
	}
}

// A missing program or file is a mistake where programs are run, but not elsewhere.
func TestMissing(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"run: [no-such-program]":      `commands.test.run: no program "no-such-program" can be started`,
		"run: [sh, ./no-such-script]": "commands.test.run: there is no file testdata/no-such-script",
		"run: [ls]":                   "",
	} {
		c := newCommand(t, settings)
		if got := c.Missing().Error(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", settings, got, want)
		}
	}
}
