package command

import (
	"encoding/json"
	"strings"
	"testing"

	"coatcheck/jobs"
)

// A program and what it starts have the limits, and can't raise them; the arguments and the
// environment are the same as without.
func TestLimits(t *testing.T) {
	t.Parallel()
	const script = `ulimit -v; ulimit -n; ulimit -t; ulimit -n 4096 2>&1 | grep -c -i -e limit -e permitted; echo "$0 $1"; env | grep -c COATCHECK_`
	settings := "output: lines\nlimits: {memory: 512MiB, cpu: 10m, open_files: 64}\n" +
		`run: [sh, -c, '` + script + `', "{{input.s}}", b]` + "\ninput: {required: [s], properties: {s: {type: string}}}"
	c := newCommand(t, settings)
	got, err := c.run(jobs.WithReporter(t.Context(), new(recorder)), json.RawMessage(`{"s": "a"}`))
	if err != nil || string(got) != `["524288","64","600","1","a b","3"]` {
		t.Errorf("got %s, %v", got, err)
	}
}

// A program that exceeds a limit ends, with an error that says so where the system does.
func TestLimitExceeded(t *testing.T) {
	t.Parallel()
	for limit, tt := range map[string]struct{ script, want string }{
		"cpu: 1s":        {"while :; do :; done", "ended by signal: CPU time limit exceeded"},
		"memory: 64MiB":  {"head -c 200000000 /dev/zero | tail -n 1 >/dev/null; exit 7", "memory exhausted"},
		"open_files: 16": {"exec 20>x; exit 7", "exit status"},
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			c := newCommand(t, "run: [sh, -c, '"+tt.script+"']\nlimits: {"+limit+"}")
			_, err := c.run(jobs.WithReporter(t.Context(), new(recorder)), json.RawMessage("{}"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A mistake in a limit names its place, and a program that can't be executed is an error.
func TestLimitMistakes(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"memory: 2 gigabytes": "limits.memory: expected a size such as 512MiB",
		"memory: 12":          "limits.memory: expected at least 1048576 bytes",
		"memory: 9999999TiB":  "limits.memory: expected a size",
		"cpu: 100ms":          "limits.cpu: expected at least 1s",
		"open_files: 3":       "limits.open_files: expected",
		"threads: 3":          "unknown setting commands.test.limits.threads",
	} {
		if _, err := parse(t, "run: [ls]\nlimits: {"+settings+"}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", settings, err, want)
		}
	}
	c := newCommand(t, "run: [/dev/null]\nlimits: {open_files: 64}")
	if _, err := c.run(jobs.WithReporter(t.Context(), new(recorder)), json.RawMessage("{}")); err == nil || !strings.Contains(err.Error(), "start the program") {
		t.Errorf("got %v", err)
	}
}
