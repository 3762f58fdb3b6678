package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// recorder keeps the events of jobs, in the order they were published.
type recorder struct {
	mu     sync.Mutex
	events map[string][]notify.Event
}

func (r *recorder) Publish(topic string, e notify.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.events == nil {
		r.events = make(map[string][]notify.Event)
	}
	r.events[topic] = append(r.events[topic], e)
	return nil
}

func (r *recorder) Erase(topic string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.events, topic)
	return nil
}

func (r *recorder) of(job string) []notify.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]notify.Event(nil), r.events[job]...)
}

// ended returns the events of a job that has ended. They are published after
// the commits, so the last one comes a little later than the end is seen.
func (r *recorder) ended(t *testing.T, job string) []notify.Event {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		events := r.of(job)
		if n := len(events); n > 0 && events[n-1].Name == "end" {
			return events
		}
		if time.Now().After(deadline) {
			t.Fatalf("no end in %v", events)
		}
	}
}

type number struct {
	N float64 `json:"n"`
}

// testServices are services that do what a test needs. Those that block do so
// until hold is closed or their context is done.
type testServices struct {
	jobs.Registry
	hold    chan struct{}
	started chan string // the services that hold, as they begin
	mu      sync.Mutex
	calls   map[string]int
}

func (s *testServices) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
	return s.calls[name]
}

func newServices() *testServices {
	s := &testServices{hold: make(chan struct{}), started: make(chan string, 100), calls: make(map[string]int)}
	wait := func(ctx context.Context, name string) error {
		s.started <- name
		select {
		case <-s.hold:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	jobs.Add(&s.Registry, jobs.Service{Name: "double"}, func(_ context.Context, in number) (number, error) {
		return number{2 * in.N}, nil
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "hold"}, func(ctx context.Context, _ struct{}) (string, error) {
		return "held", wait(ctx, "hold")
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "report"}, func(ctx context.Context, _ struct{}) (string, error) {
		jobs.Log(ctx, "line %d", 1)
		jobs.ProgressData(ctx, 40, "frame 80/200", map[string]int{"frame": 80})
		jobs.Output(ctx, "a chunk")
		return "done", wait(ctx, "report")
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "flaky"}, func(_ context.Context, in number) (string, error) {
		if s.count("flaky") < int(in.N) {
			return "", errors.New("connection reset")
		}
		return "at last", nil
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "permanent"}, func(context.Context, struct{}) (string, error) {
		return "", fmt.Errorf("no such file: %w", jobs.ErrPermanent)
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "busy"}, func(context.Context, struct{}) (string, error) {
		return "", fmt.Errorf("the printer is busy: %w", jobs.RetryAfter(time.Hour))
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "panics", MaxAttempts: 1}, func(context.Context, struct{}) (string, error) {
		panic("secret of the service")
	})
	jobs.Add(&s.Registry, jobs.Service{Name: "nan"}, func(context.Context, struct{}) (any, error) {
		return func() {}, nil
	})
	return s
}

// newQueue returns a started queue that is stopped at the test's end.
func newQueue(t testing.TB, db *store.DB, services *testServices, change func(*queue.Config)) (*queue.Queue, *recorder) {
	t.Helper()
	events := new(recorder)
	c := queue.Config{
		Database: db, Keys: jobstest.Keys(t, db), Services: &services.Registry, Events: events, Workers: 10, CallbackWorkers: 10,
		Backoff:     func(int) time.Duration { return 10 * time.Millisecond },
		Validate:    func(string, []byte) error { return nil },
		StopTimeout: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
	sender(t, &c)
	if change != nil {
		change(&c)
	}
	q, err := queue.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := q.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return q, events
}

func submit(t *testing.T, q *queue.Queue, s jobs.Submission) jobs.Job {
	t.Helper()
	if s.Input == nil {
		s.Input = json.RawMessage(`{}`)
	}
	if s.Owner == "" {
		s.Owner = "alice"
	}
	s.BaseURL = "https://api.example"
	job, _, err := q.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// eventually waits until the job is as wanted.
// patience is how long a test waits for what must happen.
const patience = time.Minute

func eventually(t *testing.T, q *queue.Queue, id string, what string, want func(jobs.Job) bool) jobs.Job {
	t.Helper()
	deadline := time.After(patience)
	for {
		job, err := q.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if want(job) {
			return job
		}
		select {
		case <-deadline:
			t.Fatalf("job is %s (%v), want %s", job.Status, job.Error, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func finished(t *testing.T, q *queue.Queue, id string) jobs.Job {
	t.Helper()
	return eventually(t, q, id, "done", func(j jobs.Job) bool { return j.Done })
}

func TestQueueRunsJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, events := newQueue(t, db, newServices(), nil)
		job := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n": 21}`), Tags: []string{"web"}, Metadata: json.RawMessage(`{"order":"A-17"}`)})
		if job.Status != jobs.Queued || job.LastEventID != "1-0" || job.StatusURL != "" {
			t.Errorf("submitted: status %s, event %s, url %q", job.Status, job.LastEventID, job.StatusURL)
		}
		job = finished(t, q, job.ID)
		if job.Status != jobs.Succeeded || string(job.Output) != `{"n":42}` || job.Attempt != 1 || job.Progress.Percent != 100 || job.LastEventID != "3-0" {
			t.Errorf("got %s, output %s, attempt %d, %v %%, event %s", job.Status, job.Output, job.Attempt, job.Progress.Percent, job.LastEventID)
		}
		if string(job.Metadata) != `{"order":"A-17"}` || len(job.Tags) != 1 {
			t.Errorf("metadata %s, tags %v", job.Metadata, job.Tags)
		}
		var got []string
		for _, e := range events.ended(t, job.ID) {
			got = append(got, e.Prev.String()+" "+e.ID.String()+" "+e.Name)
		}
		if want := "1-0 2-0 status, 2-0 3-0 end"; strings.Join(got, ", ") != want {
			t.Errorf("events %v, want %s", got, want)
		}
	})
}

func TestQueuePublishesReports(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, events := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "report"})
		job = eventually(t, q, job.ID, "at 40 %", func(j jobs.Job) bool { return j.Progress.Percent == 40 })
		if job.Progress.Message != "frame 80/200" || string(job.Progress.Data) != `{"frame":80}` || job.LastEventID != "2-3" {
			t.Errorf("progress %+v, event %s", job.Progress, job.LastEventID)
		}
		close(services.hold)
		finished(t, q, job.ID)
		var got []string
		for _, e := range events.ended(t, job.ID) {
			got = append(got, e.Prev.String()+" "+e.ID.String()+" "+e.Name)
		}
		if want := "1-0 2-0 status, 2-0 2-1 log, 2-1 2-2 progress, 2-2 2-3 output, 2-3 3-0 end"; strings.Join(got, ", ") != want {
			t.Errorf("events %v, want %s", got, want)
		}
	})
}

func TestQueueOutcomes(t *testing.T) {
	tests := []struct {
		name    string
		submit  jobs.Submission
		status  jobs.Status
		err     *jobs.Error
		attempt int
	}{
		{"retried", jobs.Submission{Service: "flaky", Input: json.RawMessage(`{"n":3}`), MaxAttempts: 3}, jobs.Succeeded, nil, 3},
		{"out of attempts", jobs.Submission{Service: "flaky", Input: json.RawMessage(`{"n":9}`), MaxAttempts: 2}, jobs.Failed, &jobs.Error{Code: "failed", Message: "connection reset", Attempt: 2}, 2},
		{"permanent", jobs.Submission{Service: "permanent"}, jobs.Failed, &jobs.Error{Code: "failed", Message: "no such file", Attempt: 1}, 1},
		{"panic", jobs.Submission{Service: "panics"}, jobs.Failed, &jobs.Error{Code: "panic", Message: "the service panicked; the server's log says more", Attempt: 1}, 1},
		{"timeout", jobs.Submission{Service: "hold", Timeout: time.Second, MaxAttempts: 1}, jobs.Failed, &jobs.Error{Code: "timeout", Message: "the attempt took longer than 1s", Attempt: 1}, 1},
		{"no JSON", jobs.Submission{Service: "nan"}, jobs.Failed, &jobs.Error{Code: "invalid_output", Message: "invalid output: the Go type func() has no form in JSON", Attempt: 1}, 1},
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				q, _ := newQueue(t, db, newServices(), nil)
				job := finished(t, q, submit(t, q, tt.submit).ID)
				if job.Status != tt.status || job.Attempt != tt.attempt {
					t.Errorf("got %s after attempt %d, want %s after %d", job.Status, job.Attempt, tt.status, tt.attempt)
				}
				if (job.Error == nil) != (tt.err == nil) || job.Error != nil && *job.Error != *tt.err {
					t.Errorf("got error %+v, want %+v", job.Error, tt.err)
				}
			})
		}
	})
}

// A service may say when another attempt makes sense.
func TestRetryAfter(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		job := submit(t, q, jobs.Submission{Service: "busy"})
		job = eventually(t, q, job.ID, "retrying", func(j jobs.Job) bool { return j.Status == jobs.Retrying })
		if wait := job.RunAt.Sub(job.StartedAt.Time).Round(time.Minute); wait != time.Hour || job.Error.Message != "the printer is busy: try again in 1h0m0s" {
			t.Errorf("waits %s: %+v", wait, job.Error)
		}
	})
}

func TestQueueChain(t *testing.T) {
	tests := []struct {
		name   string
		then   string
		status jobs.Status
		want   string // output, or error message
	}{
		{"all of the output", `{"$output": ""}`, jobs.Succeeded, `{"n":12}`},
		{"a part", `{"n": {"$output": "/n"}}`, jobs.Succeeded, `{"n":12}`},
		{"no such part", `{"n": {"$output": "/m"}}`, jobs.Failed, `invalid input: the output has no "/m"`},
		{"does not fit", `{"n": {"$output": ""}, "x": 1}`, jobs.Failed, `invalid input: the output of step 1 does not fit the input of double: no x please`},
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, events := newQueue(t, db, newServices(), func(c *queue.Config) {
			c.Validate = func(_ string, input []byte) error {
				if strings.Contains(string(input), `"x"`) {
					return errors.New("no x please")
				}
				return nil
			}
		})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				job := finished(t, q, submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":3}`), Then: []jobs.NextStep{{Service: "double", Input: json.RawMessage(tt.then)}}}).ID)
				got := string(job.Output)
				if job.Error != nil {
					got = job.Error.Message
				}
				if job.Status == jobs.Failed && job.Error.Code != "invalid_input" {
					t.Errorf("got code %s", job.Error.Code)
				}
				if job.Status != tt.status || got != tt.want || job.Step != 2 || job.Steps != 2 {
					t.Errorf("got %s, step %d of %d, %s, want %s, %s", job.Status, job.Step, job.Steps, got, tt.status, tt.want)
				}
				if kept := string(job.Chain[0].Output); job.Done && job.Status == jobs.Succeeded && kept != "" || job.Chain[0].FinishedAt == nil {
					t.Errorf("first step %+v", job.Chain[0])
				}
				if n := len(events.ended(t, job.ID)); n != 4 { // running, queued, running, end
					t.Errorf("%d events, want 4", n)
				}
			})
		}
	})
}

func TestQueueRefusesSubmission(t *testing.T) {
	q, _ := newQueue(t, jobstest.SQLite(t), newServices(), func(c *queue.Config) { c.Workers = 0; c.MaxQueued = 1 })
	_, _, err := q.Submit(t.Context(), jobs.Submission{Service: "nothing"})
	if !errors.Is(err, jobs.ErrUnknownService) {
		t.Errorf("got %v, want %v", err, jobs.ErrUnknownService)
	}
	_, _, err = q.Submit(t.Context(), jobs.Submission{Service: "double", Priority: 5, MaxAttempts: -1, Then: []jobs.NextStep{{Service: "nothing"}}})
	for _, field := range []string{"priority:", "max_attempts:", "then[0].service:"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got %v, want a mistake in %s", err, field)
		}
	}
	submit(t, q, jobs.Submission{Service: "double"})
	if _, _, err = q.Submit(t.Context(), jobs.Submission{Service: "double", Input: json.RawMessage(`{}`)}); !errors.Is(err, queue.ErrQueueFull) {
		t.Errorf("got %v, want %v", err, queue.ErrQueueFull)
	}
}
