package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"coatcheck/api/client/watch"
)

// On a terminal there is a bar on the last line, which other lines push down,
// and nothing that a service says can steer the terminal.
func TestViewOnTerminal(t *testing.T) {
	const wipe = "\x1b[K"
	var out, err bytes.Buffer
	v := &view{program: &program{stdout: &out, stderr: &err}, terminal: true}
	for _, step := range []struct{ name, data, want string }{
		{"snapshot", `{"job":{"status":"queued"}}`, "queued\n\r[------------------------]   0%  " + wipe},
		{"status", `{"status":"running","attempt":2}`, "\r" + wipe + "running, attempt 2\n\r[------------------------]   0%  " + wipe},
		{"status", `{"status":"running","attempt":2}`, ""},
		{"progress", `{"percent":50,"message":"half\u001b[2J\nway"}`, "\r[############------------]  50%  half[2J way" + wipe},
		{"ping", `{}`, ""},
		{"log", `{"level":"warning","message":"hot\u0007"}`, "\r" + wipe + "warning: hot\n\r[############------------]  50%  half[2J way" + wipe},
		{"output", `{"chunk":"a\nb\n"}`, "\r" + wipe + "a\nb\n\r[############------------]  50%  half[2J way" + wipe},
		{"progress", `{"percent":200,"message":"` + strings.Repeat("é", 100) + `"}`, "\r[########################] 200%  " + strings.Repeat("é", 46) + wipe},
		{"end", `{"job":{"status":"succeeded","output":{"a":1},"created_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:02Z"}}`, "\r" + wipe + "succeeded after 2s\n"},
	} {
		err.Reset()
		ended, showErr := v.show(watch.Event{Name: step.name, Data: []byte(step.data)})
		if got := err.String(); got != step.want || showErr != nil || ended != (step.name == "end") {
			t.Errorf("%s %s: got %q %v %v, want %q", step.name, step.data, got, ended, showErr, step.want)
		}
	}
	if out.String() != "{\"a\":1}\n" {
		t.Errorf("output is %q", &out)
	}
	_, showErr := v.show(watch.Event{Name: "end", Data: []byte(`{"job":{"id":"job_1","status":"failed","error":{"message":"no\u001b luck"}}}`)})
	if e, ok := errors.AsType[*exitError](showErr); !ok || e.code != 1 || e.Error() != "job job_1 failed: no luck" {
		t.Errorf("got %v", showErr)
	}
}
