package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// Errors and outputs whose methods misbehave.
type (
	nilError    struct{ text string }
	panicError  struct{}
	exitError   struct{}
	cyclicError struct{ next error }
	isError     struct{ error }
	asError     struct{ error }
	unwrapError struct{ error }
	blockError  struct{ hold chan struct{} }
	blockOutput struct{ hold chan struct{} }
	panicOutput struct{}
	exitOutput  struct{}
)

func (e *nilError) Error() string                      { return e.text }
func (panicError) Error() string                       { panic("Error panics") }
func (exitError) Error() string                        { runtime.Goexit(); return "" }
func (*cyclicError) Error() string                     { return "a cycle" }
func (e *cyclicError) Unwrap() error                   { return e.next }
func (isError) Is(error) bool                          { panic("Is panics") }
func (asError) As(any) bool                            { panic("As panics") }
func (unwrapError) Unwrap() []error                    { panic("Unwrap panics") }
func (e blockError) Error() string                     { <-e.hold; return "" }
func (o blockOutput) MarshalJSON() (_ []byte, _ error) { <-o.hold; return nil, nil }
func (panicOutput) MarshalJSON() ([]byte, error)       { panic("MarshalJSON panics") }
func (exitOutput) MarshalText() ([]byte, error)        { runtime.Goexit(); return nil, nil }

// badEnds are services that end in odd ways, by what becomes of their jobs.
func badEnds(hold chan struct{}) []struct {
	name    string
	run     func() (any, error)
	code    string
	message string // a part of it
} {
	cycle := &cyclicError{}
	cycle.next = errors.Join(cycle, cycle)
	selfish := make(map[string]any)
	selfish["self"] = selfish
	return []struct {
		name    string
		run     func() (any, error)
		code    string
		message string
	}{
		{"a nil pointer as the error", func() (any, error) { return "done", (*nilError)(nil) }, "panic", "panicked"},
		{"Error panics", func() (any, error) { return nil, panicError{} }, "panic", "panicked"},
		{"Is panics", func() (any, error) { return nil, isError{errors.New("is")} }, "panic", "panicked"},
		{"As panics", func() (any, error) { return nil, asError{errors.New("as")} }, "panic", "panicked"},
		{"Unwrap panics", func() (any, error) { return nil, unwrapError{errors.New("unwrap")} }, "panic", "panicked"},
		{"wrapped and permanent", func() (any, error) { return nil, fmt.Errorf("%w: %w", jobs.ErrPermanent, (*nilError)(nil)) }, "failed", "<nil>"},
		{"a tree without an end", func() (any, error) { return nil, cycle }, "failed", "a cycle"},
		{"a very long text", func() (any, error) { return nil, errors.New(strings.Repeat("é", 1<<20)) }, "failed", "éé…"},
		{"Error exits", func() (any, error) { return nil, exitError{} }, "failed", "runtime.Goexit"},
		{"Error blocks", func() (any, error) { return nil, blockError{hold} }, "failed", "does not return"},
		{"MarshalJSON blocks", func() (any, error) { return []any{blockOutput{hold}}, nil }, "failed", "does not return"},
		{"MarshalJSON panics", func() (any, error) { return panicOutput{}, nil }, "panic", "panicked"},
		{"MarshalText exits", func() (any, error) { return exitOutput{}, nil }, "failed", "runtime.Goexit"},
		{"the service exits", func() (any, error) { runtime.Goexit(); return nil, nil }, "failed", "runtime.Goexit"},
		{"a panic with an error that panics", func() (any, error) { panic(panicError{}) }, "panic", "panicked"},
		{"a panic with a value without end", func() (any, error) { panic(selfish) }, "panic", "panicked"},
		{"an output without end", func() (any, error) { return selfish, nil }, "invalid_output", "cycle"},
		{"not a number", func() (any, error) { return map[string]any{"scores": []float64{1, math.NaN()}}, nil }, "invalid_output", "at /scores/1: "},
		{"infinity", func() (any, error) { return struct{ A, B float64 }{1, math.Inf(-1)}, nil }, "invalid_output", "at /B: "},
		{"no UTF-8", func() (any, error) { return map[string]any{"a": []string{"é", "\xff"}}, nil }, "invalid_output", "at /a/1: invalid UTF-8"},
		{"a name that is no UTF-8", func() (any, error) { return map[string]any{"a\xff": 1}, nil }, "invalid_output", "invalid UTF-8"},
		{"a function", func() (any, error) { return []any{1, func() {}}, nil }, "invalid_output", "at /1: "},
		{"half of a surrogate pair", func() (any, error) { return []any{json.RawMessage(`"\ud800"`)}, nil }, "invalid_output", "at /0: "},
		{"a name twice", func() (any, error) { return json.RawMessage(`{"a":1,"a":2}`), nil }, "invalid_output", "duplicate"},
		{"an exponent", func() (any, error) { return json.RawMessage(`{"a":[1e999999]}`), nil }, "invalid_output", "at /a/0: expected a number"},
		{"nested deeply", func() (any, error) { return json.RawMessage(strings.Repeat("[", 101) + strings.Repeat("]", 101)), nil }, "invalid_output", "nested deeper than 100"},
		{"no JSON", func() (any, error) { return json.RawMessage(`{bad`), nil }, "invalid_output", "invalid character 'b'"},
		{"too large", func() (any, error) { return strings.Repeat("x", 5<<20), nil }, "invalid_output", "more than 4194304 bytes"},
	}
}

// Whatever the values do that a service returns, they do to its own job only.
func TestServiceFailures(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		hold := make(chan struct{})
		ends := badEnds(hold)
		type input struct {
			Number int `json:"number"`
		}
		jobs.Add(&services.Registry, jobs.Service{Name: "bad", MaxAttempts: 1}, func(_ context.Context, in input) (any, error) {
			return ends[in.Number].run()
		})
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers, c.CancelGrace = 2*len(ends), 5*time.Second })
		t.Cleanup(func() { close(hold) })
		var bad []jobs.Job
		for i := range ends {
			bad = append(bad, submit(t, q, jobs.Submission{Service: "bad", Input: fmt.Appendf(nil, `{"number":%d}`, i)}))
		}
		good := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":1}`)})
		if good = finished(t, q, good.ID); good.Status != jobs.Succeeded {
			t.Errorf("the job beside them: %s, %+v", good.Status, good.Error)
		}
		for i, end := range ends {
			job := finished(t, q, bad[i].ID)
			if job.Status != jobs.Failed || job.Error == nil || job.Error.Code != end.code || !strings.Contains(job.Error.Message, end.message) {
				t.Errorf("%s: got %s, %+v, want %s with %q", end.name, job.Status, job.Error, end.code, end.message)
			}
			if job.Error != nil && len(job.Error.Message) > 4096 {
				t.Errorf("%s: a message of %d bytes", end.name, len(job.Error.Message))
			}
		}
		if n := q.Counters(); n.Abandoned != 2 {
			t.Errorf("%d runs left behind, want those that block", n.Abandoned)
		}
	})
}

// A number that was written as one comes back as it was written.
func TestOutputNumbers(t *testing.T) {
	db := jobstest.SQLite(t)
	services := newServices()
	jobs.Add(&services.Registry, jobs.Service{Name: "numbers"}, func(context.Context, struct{}) (any, error) {
		return []any{json.Number("1.50"), json.Number(""), json.RawMessage("1e400"), 1e21, "<é>"}, nil
	})
	q, _ := newQueue(t, db, services, nil)
	job := finished(t, q, submit(t, q, jobs.Submission{Service: "numbers"}).ID)
	if want := `[1.50,0,1e400,1e+21,"<é>"]`; string(job.Output) != want {
		t.Errorf("got %s, %+v, want %s", job.Output, job.Error, want)
	}
}

// Input types whose methods misbehave.
type (
	panicInput struct{}
	exitInput  struct{}
	errorInput struct{}
)

func (*panicInput) UnmarshalJSON([]byte) error { panic("UnmarshalJSON panics") }
func (*exitInput) UnmarshalJSON([]byte) error  { runtime.Goexit(); return nil }
func (*errorInput) UnmarshalJSON([]byte) error { return (*nilError)(nil) }

// Inputs are read before there is a run, by methods of the service's types.
func TestFitsSurvivesInputTypes(t *testing.T) {
	var r jobs.Registry
	jobs.Add(&r, jobs.Service{Name: "panics"}, func(context.Context, struct{ V panicInput }) (any, error) { return nil, nil })
	jobs.Add(&r, jobs.Service{Name: "exits"}, func(context.Context, struct{ V exitInput }) (any, error) { return nil, nil })
	jobs.Add(&r, jobs.Service{Name: "nil"}, func(context.Context, struct{ V errorInput }) (any, error) { return nil, nil })
	for s := range r.All() {
		if err := s.Fits([]byte(`{"V":1}`)); err == nil || !strings.Contains(err.Error(), "can read") {
			t.Errorf("%s: got %v", s.Name, err)
		}
		if err := s.Fits([]byte(`{}`)); err != nil {
			t.Errorf("%s: without it: %v", s.Name, err)
		}
	}
}
