package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coatcheck/api/client/watch"
)

// On a terminal there is a bar on the last line, which other lines push down,
// and nothing that a service says can steer the terminal.
func TestViewOnTerminal(t *testing.T) { synctest.Test(t, testViewOnTerminal) }

func testViewOnTerminal(t *testing.T) {
	const wipe = "\x1b[K"
	var out, err bytes.Buffer
	v := &view{program: &program{stdout: &out, stderr: &err}, terminal: true}
	for _, step := range []struct{ name, data, want string }{
		{"snapshot", `{"job":{"status":"queued"}}`, "queued\n\r[------------------------]   0%  " + wipe},
		{"status", `{"status":"running","attempt":2}`, "\r" + wipe + "running, attempt 2\n\r[------------------------]   0%  0:00  " + wipe},
		{"status", `{"status":"running","attempt":2}`, ""},
		{"progress", `{"percent":50,"message":"half\u001b[2J\nway"}`, "\r[############------------]  50%  0:00  half way" + wipe},
		{"ping", `{}`, ""},
		{"log", `{"level":"warning","message":"\u001b[1;31mhot\u001b[0m\u0007"}`, "\r" + wipe + "warning: hot\n\r[############------------]  50%  1:30  half way" + wipe},
		{"output", `{"chunk":"a\nb\n"}`, "\r" + wipe + "a\nb\n\r[############------------]  50%  1:30  half way" + wipe},
		{"progress", `{"percent":200,"message":"` + strings.Repeat("é", 100) + `"}`, "\r[########################] 200%  1:30  " + strings.Repeat("é", 40) + wipe},
		{"status", `{"status":"queued","attempt":2}`, "\r" + wipe + "queued, attempt 2\n\r[########################] 200%  " + strings.Repeat("é", 46) + wipe},
		{"end", `{"job":{"status":"succeeded","output":{"a":1},"created_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:02Z"}}`, "\r" + wipe + "succeeded after 2s\n"},
	} {
		if err.Reset(); step.name == "ping" {
			time.Sleep(90 * time.Second)
		}
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

// The bar shows how long the job has been running, also while the job reports nothing.
func TestViewElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, err bytes.Buffer
		v := &view{program: &program{stdout: &out, stderr: &err}, terminal: true}
		stop := v.keepDrawing()
		for _, e := range []watch.Event{
			{Name: "status", Data: []byte(`{"status":"running","attempt":1}`)}, {Name: "progress", Data: []byte(`{"percent":10,"message":"working"}`)},
		} {
			if _, err := v.show(e); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(61*time.Second + time.Millisecond)
		stop()
		if want := "\r[##----------------------]  10%  1:01  working\x1b[K\r\x1b[K"; !strings.HasSuffix(err.String(), want) {
			t.Errorf("got %q, want the end %q", err.String(), want)
		}
	})
}
