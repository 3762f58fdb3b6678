package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
)

// many returns the URL of the events of many jobs.
func (f *fixture) multiStreamURL(refs ...string) string {
	return f.URL + "/v1/events?job=" + strings.Join(refs, "&job=")
}

// jobOf returns the job that an event of many is of.
func jobOf(t testing.TB, e event) string {
	t.Helper()
	var data struct {
		JobID string `json:"job_id"`
		Type  string
		Job   *struct{ ID string }
	}
	if err := json.Unmarshal([]byte(e.data), &data); err != nil || data.JobID == "" || data.Type != e.name {
		t.Fatalf("%+v: %v", e, err)
	}
	if data.Job != nil && data.Job.ID != data.JobID {
		t.Fatalf("job_id %s, job %s", data.JobID, data.Job.ID)
	}
	return data.JobID
}

// A stream of many jobs has the events of each, the end of each, and ends
// with the last; one that breaks goes on with each job where it was.
func TestMultiStream(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	var tokens []string
	chunks := make(map[string]int) // seen of each job
	for n := range 5 {
		job := f.submit(t, "chatter", fmt.Sprintf(`{"input":{"chunks":%d,"size":5,"pause":5}}`, 20+10*n))
		tokens = append(tokens, string(job.Token))
		chunks[job.ID] = 0
	}
	tokens = append(tokens, tokens[0]) // twice is once
	ends := make(map[string]bool)
	snapshots := make(map[string]int)
	last := ""
	for hops := 0; len(ends) < len(chunks); hops++ {
		v := f.watch(t, f.multiStreamURL(tokens...), "Last-Event-ID: "+last)
		if v.StatusCode != 200 || v.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Fatalf("%s %v", v.Status, v.Header)
		}
		for range 30 {
			e, ok := <-v.events
			if !ok {
				break
			}
			if e.id != "" {
				last = e.id
			}
			id := jobOf(t, e)
			var data struct {
				Index int
			}
			if ends[id] {
				t.Errorf("%s after the end of %s", e.name, id)
			}
			switch e.name {
			case "output":
				if err := json.Unmarshal([]byte(e.data), &data); err != nil {
					t.Fatal(err)
				}
				if chunks[id] > 0 && data.Index != chunks[id] {
					t.Errorf("after %d chunks comes %d of %s", chunks[id], data.Index, id)
				}
				chunks[id] = data.Index + 1
			case "end":
				ends[id] = true
			case "snapshot":
				if snapshots[id]++; snapshots[id] > 1 {
					t.Errorf("another snapshot of %s", id)
				}
			}
		}
		v.cancel()
		if hops > 100 {
			t.Fatal("no end")
		}
	}
	if a := f.do(t, "GET", f.multiStreamURL(tokens...), "", "Last-Event-ID: "+last); a.StatusCode != 204 {
		t.Errorf("past all ends: %s", a.Status)
	}
	// Of other jobs, or of these in another order, the id says nothing.
	tokens[0], tokens[1] = tokens[1], tokens[0]
	if got := f.collect(t, f.multiStreamURL(tokens...), "Last-Event-ID: "+last); len(got) != 10 {
		t.Errorf("%d events", len(got))
	}
	for _, id := range []string{"x", "1.", last + ".1-0", "." + last} {
		if got := f.collect(t, f.multiStreamURL(tokens...), "Last-Event-ID: "+id); len(got) != 10 {
			t.Errorf("with id %s: %d events", id, len(got))
		}
	}
}

// One job more than there may be is too many; what was removed is over for
// who had seen it.
func TestMultiStreamRemovedJobs(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { c.Streams.Ping = 100 * time.Millisecond }})
	alice := "Authorization: Bearer " + keys["alice"]
	gone := f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, alice, "Prefer: wait=20")
	remaining := f.submit(t, "hold", `{"input":{}}`, alice)
	url := f.multiStreamURL(gone.ID, string(remaining.Token))
	v := f.watch(t, url, alice)
	last, names := "", ""
	for !strings.Contains(names, "a chunk") {
		e := v.next(t)
		last, names = e.id, names+e.name+e.data
	}
	v.cancel()
	if a := f.do(t, "DELETE", "/v1/jobs/"+gone.ID, "", alice); a.StatusCode != 204 {
		t.Fatal(a.Status)
	}
	if a := f.do(t, "GET", url, "", alice); a.StatusCode != 404 || !strings.Contains(a.body, "query.job[0]") {
		t.Errorf("who comes for the first time: %s %s", a.Status, a.body)
	}
	again := f.watch(t, url, alice, "Last-Event-ID: "+last)
	if e := <-again.events; e.name != "ping" {
		t.Errorf("who comes back gets %+v", e)
	}
	close(f.hold)
	for e := again.next(t); e.name != "end"; e = again.next(t) {
		if jobOf(t, e) != remaining.ID {
			t.Errorf("%+v", e)
		}
	}
	if names := again.names(t); len(names) > 0 {
		t.Errorf("after the end: %v", names)
	}
}

// One request submits a job and watches it.
func TestSubmitAndWatch(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Total = 1 }})
	submit := func(accept string, headers ...string) *viewer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", f.URL+"/v1/services/maths.add/jobs", strings.NewReader(`{"input":{"a":3,"b":4}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		req.Header.Set("Content-Type", "application/json")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return newViewer(t, resp, func() {})
	}
	const key = "Idempotency-Key: one"
	first := submit("text/event-stream", key, "Prefer: wait=1")
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "text/event-stream" || first.Header.Get("ETag") != "" || first.Header.Get("Link") == "" {
		t.Fatalf("%s %v", first.Status, first.Header)
	}
	snapshot := first.next(t)
	last := snapshot
	for last.name != "end" {
		last = first.next(t)
	}
	if snapshot.name != "snapshot" || !strings.Contains(last.data, `"output":7`) {
		t.Errorf("%+v … %+v", snapshot, last)
	}
	job := f.do(t, "GET", first.Header.Get("Location"), "").job(t)
	waitFor(t, "no stream", 5*time.Second, func() bool { return f.streams(t) == 0 })
	if a := f.do(t, "GET", job.EventsURL, "", "Last-Event-ID: "+last.id); a.StatusCode != 204 {
		t.Errorf("watched on: %s", a.Status)
	}
	waitFor(t, "no stream", 5*time.Second, func() bool { return f.streams(t) == 0 })
	again := submit("text/event-stream", key)
	if again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Location") != first.Header.Get("Location") || fmt.Sprint(again.names(t)) != "[snapshot end]" {
		t.Errorf("replayed: %s %v", again.Status, again.Header)
	}
	waitFor(t, "no stream", 5*time.Second, func() bool { return f.streams(t) == 0 })
	if lines := submit("application/x-ndjson"); lines.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("lines: %v", lines.Header)
	} else {
		lines.names(t)
	}
	if plain := submit("application/json, text/event-stream"); plain.StatusCode != 202 || plain.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %v", plain.Status, plain.Header)
	}

	// Without room for a stream there is no job either.
	waitFor(t, "no stream", 5*time.Second, func() bool { return f.streams(t) == 0 })
	held := f.submit(t, "hold", `{"input":{}}`)
	f.watch(t, held.EventsURL).next(t)
	count := func() int { return strings.Count(f.do(t, "GET", "/v1/jobs", "").body, `"id":"job_`) }
	before := count()
	a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":3,"b":4}}`, "Accept: text/event-stream")
	if a.StatusCode != 503 || a.problem(t).Code != "unavailable" || a.Header.Get("Retry-After") == "" {
		t.Errorf("no room: %s %s", a.Status, a.body)
	}
	if a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":"x"}}`, "Accept: application/x-ndjson"); a.StatusCode != 503 {
		t.Errorf("%s", a.Status)
	}
	if after := count(); after != before {
		t.Error("a job was made")
	}
}

// A mistake in a submission is a problem, not a stream, and takes no place.
func TestSubmitAndWatchMistake(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":"x"}}`, "Accept: text/event-stream")
	if a.StatusCode != 422 || a.problem(t).Code != "invalid-input" {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if n := f.streams(t); n != 0 {
		t.Errorf("%d streams", n)
	}
}

// The snapshot of a job that has ended has an id among many, too. Who resumes
// from it gets the end that it has missed.
func TestMultiStreamFinishedJobs(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	ended := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input": {"a": 1, "b": 2}}`, "Prefer: wait=30").job(t)
	held := f.do(t, "POST", "/v1/services/hold/jobs", `{"input": {}}`).job(t)
	defer close(f.hold)
	last := ""
	for range 2 {
		v := f.watch(t, f.multiStreamURL(string(ended.Token), string(held.Token)), "Last-Event-ID: "+last)
		e := v.next(t)
		if e.name != "snapshot" || jobOf(t, e) != ended.ID || e.id == "" {
			t.Fatalf("got %s with id %q, want the snapshot of the job that has ended, with an id", e.name, e.id)
		}
		last = e.id
		if e = v.next(t); e.name != "end" || jobOf(t, e) != ended.ID || e.id == "" || e.id == last {
			t.Fatalf("got %s with id %q, want the job's end", e.name, e.id)
		}
		v.cancel()
	}
}
