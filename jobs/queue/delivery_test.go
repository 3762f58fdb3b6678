package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

// newGuard returns a guard that allows receivers on this machine.
func newGuard(t testing.TB) *notify.Guard {
	t.Helper()
	guard, err := notify.NewGuard(notify.GuardConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// sender lets the queue call receivers on this machine, and soon again.
func sender(t testing.TB, c *queue.Config) {
	t.Helper()
	c.Sender = notify.NewSender(notify.SenderConfig{Guard: newGuard(t)})
	t.Cleanup(c.Sender.Close)
	c.Schedule = notify.Schedule{0, 10 * time.Millisecond, 10 * time.Millisecond}
}

// A callback is what a receiver got.
type callback struct {
	header http.Header
	body   []byte
}

// receiver answers callbacks with a status each, the last one for all that
// follow.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	got      []callback
}

func newReceiver(t testing.TB, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := r.statuses[min(len(r.got), len(r.statuses)-1)]
	r.got = append(r.got, callback{req.Header, body})
	w.WriteHeader(status)
}

func (r *receiver) received() []callback {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]callback(nil), r.got...)
}

func settled(j jobs.Job) bool { return j.Callback != nil && j.Callback.Status != "pending" }

func TestCallback(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		if _, _, err := q.Keys.Create(t.Context(), "alice", nil); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name     string
			statuses []int
			status   string
			attempts int
		}{
			{"accepted at once", []int{204}, "delivered", 1},
			{"accepted at the third attempt", []int{500, 503, 200}, "delivered", 3},
			{"never accepted", []int{500}, "failed", 3},
			{"gone", []int{410}, "failed", 1},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				r := newReceiver(t, test.statuses...)
				job := submit(t, q, jobs.Submission{
					Service: "double", Input: json.RawMessage(`{"n":21}`), CallbackURL: r.URL + "/hook",
					CallbackEvents: []string{jobs.JobSucceeded}, CallbackState: "order-17",
				})
				job = eventually(t, q, job.ID, "callback settled", settled)
				if c := job.Callback; c.Status != test.status || c.Attempts != test.attempts || *c.LastStatusCode != test.statuses[len(test.statuses)-1] {
					t.Errorf("callback = %+v", c)
				}
				got := r.received()
				if len(got) != test.attempts {
					t.Fatalf("received %d callbacks, want %d", len(got), test.attempts)
				}
				keys, err := q.Keys.Signing(t.Context(), "alice")
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range got {
					if string(c.body) != string(got[0].body) || c.header.Get("Webhook-Id") != got[0].header.Get("Webhook-Id") {
						t.Error("attempts differ in body or id")
					}
					for _, key := range []string{keys[0].Secret(), keys[1].PublicKey()} {
						if err := webhook.Verify(key, c.header, c.body, time.Now()); err != nil {
							t.Error(err)
						}
					}
				}
				var body struct {
					Type string
					Data struct {
						Job      jobs.Job
						Account  string
						State    string
						Sequence int
					}
				}
				if err := json.Unmarshal(got[0].body, &body); err != nil {
					t.Fatal(err)
				}
				d := body.Data
				if body.Type != jobs.JobSucceeded || d.Job.ID != job.ID || string(d.Job.Output) != `{"n":42}` || d.Account != "alice" || d.State != "order-17" || d.Sequence == 0 {
					t.Errorf("body = %s", got[0].body)
				}
				if want := "https://api.example/v1/jobs/"; !strings.HasPrefix(d.Job.ResultURL, want) {
					t.Errorf("result_url = %s, want %s…", d.Job.ResultURL, want)
				}
			})
		}
	})
}

// Each event that was asked for is its own callback, in order of happening.
func TestCallbackEvents(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		r := newReceiver(t, 200)
		submit(t, q, jobs.Submission{
			Service: "flaky", Input: json.RawMessage(`{"n":2}`), CallbackURL: r.URL, MaxAttempts: 3,
			CallbackEvents: []string{jobs.JobStarted, jobs.JobRetrying, jobs.JobSucceeded},
		})
		deadline := time.Now().Add(10 * time.Second)
		for len(r.received()) < 4 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		count := make(map[string]int)
		for _, c := range r.received() {
			var body struct{ Type string }
			if err := json.Unmarshal(c.body, &body); err != nil {
				t.Fatal(err)
			}
			count[body.Type]++
		}
		if got, want := fmt.Sprint(count), "map[job.retrying:1 job.started:2 job.succeeded:1]"; got != want {
			t.Errorf("received %s, want %s", got, want)
		}
	})
}

// A large output stays out of the callback, which then says where it is.
func TestCallbackOmitsLargeOutput(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		jobs.Add(&services.Registry, jobs.Service{Name: "large"}, func(context.Context, struct{}) (string, error) {
			return strings.Repeat("x", 64<<10), nil
		})
		q, _ := newQueue(t, db, services, nil)
		r := newReceiver(t, 200)
		job := submit(t, q, jobs.Submission{Service: "large", CallbackURL: r.URL, CallbackEvents: []string{jobs.JobSucceeded}})
		job = eventually(t, q, job.ID, "callback settled", settled)
		if output, err := q.Output(t.Context(), job.ID); err != nil || len(output) < 64<<10 {
			t.Errorf("the job's own output has %d bytes, %v", len(output), err)
		}
		body := string(r.received()[0].body)
		if len(body) > 8<<10 || !strings.Contains(body, `"output_omitted":true`) {
			t.Errorf("body of %d bytes: %.300s", len(body), body)
		}
	})
}
