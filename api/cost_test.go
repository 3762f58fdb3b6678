package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/schema"
	"coatcheck/notify"
	"coatcheck/services"
)

// costInput accepts bodies of many shapes.
type costInput struct {
	Lists   [][]string          `json:"lists,omitempty" uniqueItems:"true"`
	Numbers []float64           `json:"numbers,omitempty" minimum:"0" maximum:"1e3"`
	Any     any                 `json:"any,omitempty"`
	Tree    *costInput          `json:"tree,omitempty"`
	Texts   map[string][]string `json:"texts,omitempty"`
}

func newCostAPI(t *testing.T) *API {
	t.Helper()
	registry := new(jobs.Registry)
	services.Register(registry)
	jobs.Add(registry, jobs.Service{Name: "cost"}, func(context.Context, costInput) (string, error) { return "", nil })
	guard, err := notify.NewGuard(notify.GuardConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return newDecoder(t, Config{Services: registry, Guard: guard})
}

// repeated returns n texts joined with commas.
func repeated(n int, text func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = text(i)
	}
	return strings.Join(list, ",")
}

// costs are bodies whose size is proportional to n.
var costs = map[string]func(n int) string{
	"long name over many values": func(n int) string {
		return `{"input":{},"metadata":{"` + strings.Repeat("n", 20*n) + `":[` + repeated(n, func(int) string { return "1" }) + `]}}`
	},
	"longest names over many values": func(n int) string {
		open, shut := strings.Repeat(`{"`+strings.Repeat("n", schema.MaxName)+`":`, 60), strings.Repeat("}", 60)
		return `{"input":{"any":` + open + `[` + repeated(n, func(int) string { return "1" }) + `]` + shut + `}}`
	},
	"many long names": func(n int) string {
		return `{"input":{"any":{` + repeated(n/50, func(i int) string { return fmt.Sprintf(`"%d%s":1`, i, strings.Repeat("n", schema.MaxName)) }) + `}}}`
	},
	"placeholders that are unexpected members": func(n int) string {
		return `{"input":{},"then":[{"service":"maths.add","input":{"a":1,"b":2,` + repeated(n, func(i int) string { return fmt.Sprintf(`"x%d":{"$output":""}`, i) }) + `}}]}`
	},
	"placeholders that are right": func(n int) string {
		return `{"input":{},"then":[{"service":"cost","input":{"numbers":[` + repeated(n, func(int) string { return `{"$output":""}` }) + `]}}]}`
	},
	"placeholders below long names": func(n int) string {
		return `{"input":{},"then":[{"service":"cost","input":{"texts":{"` + strings.Repeat("n", schema.MaxName) + `":[` + repeated(n, func(int) string { return `{"$output":""}` }) + `]}}}]}`
	},
	"placeholders with malformed pointers": func(n int) string {
		return `{"input":{},"then":[{"service":"cost","input":{"any":[` + repeated(n, func(int) string { return `{"$output":"x"}` }) + `]}}]}`
	},
	"twenty steps": func(n int) string {
		return `{"input":{},"then":[` + repeated(20, func(int) string {
			return `{"service":"cost","input":{"numbers":[` + repeated(n/20, func(int) string { return `{"$output":""}` }) + `]}}`
		}) + `]}`
	},
	"many steps": func(n int) string {
		return `{"input":{},"then":[` + repeated(n/4, func(int) string { return `{"service":"nope","input":{"x":1}}` }) + `]}`
	},
	"many tags": func(n int) string {
		return `{"input":{},"tags":[` + repeated(n, func(int) string { return `""` }) + `]}`
	},
	"many duplicates": func(n int) string {
		return `{"input":{"lists":[` + repeated(n/2, func(int) string { return `["a"]` }) + `]}}`
	},
	"lists with the same texts in other parts": func(n int) string {
		return `{"input":{"lists":[` + repeated(n/10, func(i int) string {
			return `["` + strings.NewReplacer("0", `\u0004a`, "1", `","a`).Replace(fmt.Sprintf("%014b", i)) + `"]`
		}) + `]}}`
	},
	"duplicate names": func(n int) string {
		return `{"input":{` + repeated(n, func(int) string { return `"x":1` }) + `}}`
	},
	"many mistakes": func(n int) string {
		return `{"input":{"numbers":[` + repeated(n, func(int) string { return `"x"` }) + `]}}`
	},
	"mistakes of the text": func(n int) string {
		return `{"input":{"any":[` + repeated(n, func(int) string { return `"\u0000"` }) + `]}}`
	},
	"unexpected members": func(n int) string {
		return `{"input":{` + repeated(n, func(i int) string { return fmt.Sprintf(`"x%d":1`, i) }) + `}}`
	},
	"deep nesting": func(n int) string {
		return `{"input":{"any":[` + repeated(n/90, func(int) string { return strings.Repeat("[", 90) + strings.Repeat("]", 90) }) + `]}}`
	},
	"mistakes deep down": func(n int) string {
		return `{"input":` + strings.Repeat(`{"tree":`, 90) + `{"numbers":[` + repeated(n, func(int) string { return `"x"` }) + `]}` + strings.Repeat("}", 90) + `}`
	},
	"large numbers": func(n int) string {
		return `{"input":{"numbers":[` + repeated(n/10, func(int) string { return "1e-1000" }) + `]}}`
	},
}

// allocated returns how many bytes a function allocates.
func allocated(f func()) uint64 {
	f() // warm up caches
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// maxCost is how many bytes may be allocated for each byte of a body. Mistakes in
// deep values cost the most: 16 bytes for each name on their paths.
const maxCost = 700

// A body of twice the size costs twice as much, whatever its shape, and the
// response stays small.
func TestCostIsLinear(t *testing.T) { // not parallel: it measures allocations
	a := newCostAPI(t)
	for name, body := range costs {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) (bytes, perByte float64) {
				text := []byte(body(n))
				sum := allocated(func() {
					_, err := a.Decode(t.Context(), "cost", "application/json", text)
					if p := knownProblem(err); p != nil {
						if answer, err := json.Marshal(p); err != nil || len(p.Errors) > schema.MaxErrors || len(answer) > schema.MaxErrors*(schema.MaxLocation+500) {
							t.Errorf("the answer has %d mistakes and %d bytes, %v", len(p.Errors), len(answer), err)
						}
					}
				})
				return float64(sum), float64(sum) / float64(len(text))
			}
			one, _ := cost(10_000)
			two, perByte := cost(20_000)
			if two > 2.5*one+1<<20 || perByte > maxCost {
				t.Errorf("%.0f bytes for n, %.0f for 2n, %.0f for each byte of it", one, two, perByte)
			}
		})
	}
}

// An expiringContext is a context that is canceled after a number of checks.
type expiringContext struct {
	context.Context
	checks int
}

func (l *expiringContext) Err() error {
	if l.checks--; l.checks < 0 {
		return context.Canceled
	}
	return nil
}

// Work on a body stops soon after the caller disconnects, at any point.
func TestDisconnectStopsValidation(t *testing.T) {
	t.Parallel()
	a := newCostAPI(t)
	for name, body := range costs {
		text := []byte(body(4_000))
		whole := &expiringContext{t.Context(), 1 << 30}
		a.Decode(whole, "cost", "application/json", text) // counts the checks
		for checks := range 1<<30 - whole.checks {
			left := &expiringContext{t.Context(), checks}
			if _, err := a.Decode(left, "cost", "application/json", text); !errors.Is(err, context.Canceled) || left.checks < -6 {
				t.Errorf("%s: after %d checks: %v, and %d more", name, checks, err, -left.checks)
			}
		}
		if whole.checks == 1<<30 {
			t.Errorf("%s: never checked", name)
		}
	}
}
