package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
	"coatcheck/notify"
	"coatcheck/services"
	"coatcheck/web/pages"
)

// A fixture is a whole server without its command line.
type fixture struct {
	*httptest.Server
	api   *api.API
	queue *queue.Queue
	hub   *notify.Hub
	hold  chan struct{} // the service hold returns when it is closed
	log   *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type options struct {
	services    func(*jobs.Registry)
	credentials auth.Credentials
	hub         *notify.Hub // default: one of its own
	queue       func(*queue.Config)
	api         func(*api.Config)
}

// aliceAndBob are two users, and root, who sees all. Their keys are known.
func aliceAndBob(t testing.TB) (c auth.Credentials, keys map[string]string) {
	t.Helper()
	c.APIKeys, c.Admins, keys = make(map[string][]string), []string{"root"}, make(map[string]string)
	for _, name := range []string{"alice", "bob", "root"} {
		key, hash, err := auth.NewAPIKey()
		if err != nil {
			t.Fatal(err)
		}
		c.APIKeys[name], keys[name] = []string{hash}, key
	}
	return c, keys
}

func newFixture(t testing.TB, db *store.DB, o options) *fixture {
	t.Helper()
	f := &fixture{hold: make(chan struct{}), log: new(lockedBuffer)}
	logger := slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if f.hub = o.hub; f.hub == nil {
		f.hub = notify.NewHub(logger)
	}
	registry := new(jobs.Registry)
	services.Register(registry)
	jobs.Add(registry, jobs.Service{Name: "hold", Summary: "Hold on until the test lets go."}, func(ctx context.Context, _ struct{}) (string, error) {
		jobs.Progress(ctx, 40, "frame 80/200")
		jobs.Log(ctx, "a line")
		jobs.Output(ctx, "a chunk")
		select {
		case <-f.hold:
			jobs.Progress(ctx, 100, "over")
			return "held", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	jobs.Add(registry, jobs.Service{Name: "chatter", Summary: "Say a lot."}, chatter)
	jobs.Add(registry, jobs.Service{Name: "fail", Summary: "Fail."}, func(context.Context, struct{}) (string, error) {
		return "", errors.Join(errors.New("it does not work"), jobs.ErrPermanent)
	})
	if o.services != nil {
		o.services(registry)
	}
	validator, err := schema.NewValidator(registry)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := notify.NewGuard(notify.GuardConfig{})
	if err != nil {
		t.Fatal(err)
	}
	keys := jobstest.Keys(t, db)
	sender := notify.NewSender(notify.SenderConfig{Guard: guard, Local: receivers.New(db, keys)})
	qc := queue.Config{
		Database: db, Keys: keys, Services: registry, Events: f.hub, Viewers: f.hub, Sender: sender, Validate: validator.Validate, Fill: validator.Fill, FileProperties: validator.Files, Workers: 10,
		StopTimeout: 100 * time.Millisecond, Backoff: func(int) time.Duration { return 10 * time.Millisecond }, Logger: logger,
	}
	if o.queue != nil {
		o.queue(&qc)
	}
	if f.queue, err = queue.New(qc); err != nil {
		t.Fatal(err)
	}
	if err := f.queue.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(o.credentials)
	if err != nil {
		t.Fatal(err)
	}
	ac := api.Config{Queue: f.queue, Services: registry, Hub: f.hub, Guard: guard, Auth: authenticator, Sessions: auth.NewSessions(db), Validator: validator, Version: "test", Logger: logger}
	if o.api != nil {
		o.api(&ac)
	}
	if f.api, err = api.New(ac); err == nil {
		pages.Mount(f.api)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Server = httptest.NewServer(f.api)
	t.Cleanup(func() {
		f.api.Drain()
		f.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		f.api.Wait(ctx)
		if err := f.queue.Stop(ctx); err != nil {
			t.Error(err)
		}
		f.hub.Close()
		sender.Close()
		jobstest.NoSecrets(t, f.log.String())
	})
	return f
}

type chatterInput struct {
	Chunks int `json:"chunks"`
	Size   int `json:"size"`
	Pause  int `json:"pause" doc:"Milliseconds between two chunks."`
}

// chatter says chunks of output.
func chatter(ctx context.Context, in chatterInput) (string, error) {
	for n := range in.Chunks {
		jobs.Output(ctx, strings.Repeat("x", in.Size))
		if n%10 == 9 {
			jobs.Progress(ctx, 100*float64(n)/float64(in.Chunks), "talking")
		}
		if in.Pause == 0 {
			continue
		}
		select {
		case <-time.After(time.Duration(in.Pause) * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "said", nil
}

// An answer is a response whose body was read.
type answer struct {
	*http.Response
	body string
}

func (a answer) job(t testing.TB) jobs.Job {
	t.Helper()
	var job jobs.Job
	if err := json.Unmarshal([]byte(a.body), &job); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return job
}

// do makes a request. Headers are "Name: value"; a body is JSON unless they
// say otherwise.
func (f *fixture) do(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = f.URL + path
	}
	req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" && !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Content-Type: ") }) {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(b)}
}

// submit submits a job that is accepted.
func (f *fixture) submit(t testing.TB, service, body string, headers ...string) jobs.Job {
	t.Helper()
	a := f.do(t, "POST", "/v1/services/"+service+"/jobs", body, headers...)
	if a.StatusCode != 202 && a.StatusCode != 200 {
		t.Fatalf("submit %s %s: %s %s", service, body, a.Status, a.body)
	}
	return a.job(t)
}

func TestJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input": {"a": 3, "b": 4}}`, "Prefer: respond-async, wait=20")
		job := a.job(t)
		if a.StatusCode != 200 || string(job.Output) != "7" || a.Header.Get("Preference-Applied") != "wait=20" || a.Header.Get("Location") != f.URL+"/v1/jobs/"+job.ID {
			t.Fatalf("%s %v %s", a.Status, a.Header, a.body)
		}
		got := f.do(t, "GET", job.StatusURL, "")
		if got.StatusCode != 200 || got.Header.Get("ETag") != `W/"`+job.LastEventID+`"` || strings.Contains(got.body, `"input"`) {
			t.Errorf("by token: %s %v %s", got.Status, got.Header, got.body)
		}
		if got := f.do(t, "GET", "/v1/jobs/"+job.ID, ""); !strings.Contains(got.body, `"input":{"a":3,"b":4}`) && !strings.Contains(got.body, `"input":{"a": 3, "b": 4}`) {
			t.Errorf("by id: %s", got.body)
		}
		if got := f.do(t, "GET", job.StatusURL, "", "If-None-Match: "+got.Header.Get("ETag")); got.StatusCode != 304 || got.body != "" {
			t.Errorf("with its tag: %s %s", got.Status, got.body)
		}
		if got := f.do(t, "GET", job.ResultURL, ""); got.StatusCode != 200 || got.body != "7\n" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("result: %s %v %q", got.Status, got.Header, got.body)
		}
		if got := f.do(t, "GET", job.EventsURL, ""); !strings.Contains(got.body, "event: end\n") {
			t.Errorf("events: %s", got.body)
		}
	})
}
