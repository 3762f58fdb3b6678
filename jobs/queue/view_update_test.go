package queue_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// A process caches the jobs that it has written as if it had read them.
func TestViewOfWrittenJob(t *testing.T) {
	submissions := map[string]jobs.Submission{
		"succeeds": {Service: "double", Input: json.RawMessage(`{"n": 2e0,  "note":"<é>"}`), Tags: []string{"a", "b"}, Metadata: json.RawMessage(`{"order": "A-17"}`)},
		"fails":    {Service: "permanent", Priority: 1, StartWithin: time.Hour, IdempotencyKey: "key"},
		"retries":  {Service: "flaky", Input: json.RawMessage(`{"n": 3}`), MaxAttempts: 4},
		"retrying": {Service: "busy"},
		"panics":   {Service: "panics", Timeout: time.Minute, RetryOf: "job_01jdc4w0z7q9aaaaaaaaaaaaaa"},
		"steps":    {Service: "double", Input: json.RawMessage(`{"n": 2}`), Then: []jobs.NextStep{{Service: "double", Input: json.RawMessage(`{"n": 1}`)}}},
		"delayed":  {Service: "double", Delay: time.Hour, Input: json.RawMessage(`{"n": 1}`)},
		"reports":  {Service: "report"},
		"callback": {Service: "double", Input: json.RawMessage(`{"n": 1}`), CallbackURL: "https://callbacks.example/", CallbackEvents: []string{jobs.JobProgress}, CallbackState: "state"},
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		close(services.hold)
		q, _ := newQueue(t, db, services, nil)
		reader, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		for name, s := range submissions {
			id := submit(t, q, s).ID
			states, last := 0, ""
			eventually(t, q, id, "at its last state", func(written jobs.Job) bool {
				read, err := reader.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				again, err := q.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if written.LastEventID != again.LastEventID || !reflect.DeepEqual(written.Callback, again.Callback) {
					return false // it has changed between the two reads
				}
				if written.LastEventID != last {
					states, last = states+1, written.LastEventID
				}
				if w, r := everything(t, &written), everything(t, &read); w != r {
					t.Fatalf("%s: written\n%s\nread\n%s", name, w, r)
				}
				return written.Done || written.Status == jobs.Scheduled || written.Status == jobs.Retrying && s.Service == "busy"
			})
			if states == 0 {
				t.Errorf("%s: never compared", name)
			}
		}
	})
}

// everything returns all fields of a job, what callers see and what they do not see. Empty lists
// and null are the same here.
func everything(t *testing.T, j *jobs.Job) string {
	t.Helper()
	seen, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := json.Marshal([]any{j.ExpiresAt, j.Chain, j.Callback, j.Owner, j.History, j.BaseURL, j.Internal})
	if err != nil {
		t.Fatal(err)
	}
	return string(seen) + strings.ReplaceAll(string(rest), "[]", "null")
}
