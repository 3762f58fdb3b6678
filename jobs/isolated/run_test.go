package isolated

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
)

// What other code in an isolated process writes to the standard output neither
// hides the result nor is taken for it.
func TestIsolatedResultAmongOtherOutput(t *testing.T) {
	const limit = 1 << 20
	for name, noise := range map[string]string{
		"nothing":           "",
		"half a line":       "loading…",
		"JSON of a logger":  `{"level": "info", "result": {"rows": 3}}` + "\n",
		"a long line":       strings.Repeat("x", limit+1) + "\n",
		"a long half line":  strings.Repeat("x", limit+1),
		"lines and a break": "one\ntwo\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			registry := new(jobs.Registry)
			jobs.Add(registry, jobs.Service{Name: "noisy", Summary: "Print."}, func(context.Context, struct{}) (string, error) {
				fmt.Fprint(&out, noise)
				return "done", nil
			})
			request, err := json.Marshal(isolatedRun{Service: "noisy", Input: json.RawMessage("{}"), Run: jobs.Run{RunID: "run-1"}, Timeout: time.Minute, Grace: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			in, end := io.Pipe()
			defer end.Close()
			go func() { _, _ = end.Write(append(request, '\n')) }()
			if err := Run(t.Context(), registry, nil, in, &out); err != nil {
				t.Fatal(err)
			}
			listener := &isolatedListener{mark: isolatedMark("run-1"), limit: limit}
			for part := range bytes.SplitAfterSeq(out.Bytes(), []byte("x\n")) {
				if _, err := listener.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if listener.result == nil || string(listener.result.Output) != `"done"` {
				t.Errorf("got %+v, want the output of the service", listener.result)
			}
		})
	}
}

// An isolated service is asked to stop; when the server is gone, its process
// leaves at once, because another run may begin.
func TestIsolatedStops(t *testing.T) {
	services := new(jobs.Registry)
	jobs.Add(services, jobs.Service{Name: "waits"}, func(ctx context.Context, _ struct{}) (string, error) {
		<-ctx.Done()
		return "stopped", nil
	})
	hold := make(chan struct{})
	defer close(hold)
	jobs.Add(services, jobs.Service{Name: "unresponsive"}, func(context.Context, struct{}) (string, error) {
		<-hold
		return "", nil
	})
	request := func(service string) string {
		text, err := json.Marshal(isolatedRun{Service: service, Input: json.RawMessage(`{}`), Run: jobs.Run{RunID: "r"}, Timeout: time.Minute, Grace: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	var out bytes.Buffer
	if err := Run(t.Context(), services, nil, strings.NewReader(request("waits")+isolatedStop), &out); err != nil || !strings.Contains(out.String(), `{"result":{"output":"stopped"}}`) {
		t.Errorf("asked to stop: %s, %v", out.String(), err)
	}
	out.Reset()
	if err := Run(t.Context(), services, nil, strings.NewReader(request("unresponsive")), &out); err == nil || out.Len() > 0 {
		t.Errorf("the server is gone: %s, %v", out.String(), err)
	}
}
