package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// However many requests race with the same key, there is one job.
func TestIdempotencyKey(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		const body = `{"input":{"a":1,"b":2}}`
		var wg sync.WaitGroup
		var mu sync.Mutex
		ids, replayed := make(map[string]int), 0
		for i := range 20 {
			key := []string{`"k-1"`, "k-1"}[i%2] // the same key, quoted and bare
			wg.Go(func() {
				a := f.do(t, "POST", "/v1/services/maths.add/jobs", body, "Idempotency-Key: "+key)
				mu.Lock()
				defer mu.Unlock()
				ids[a.job(t).ID]++
				if a.Header.Get("Idempotent-Replayed") == "true" {
					replayed++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || replayed != 19 {
			t.Errorf("ids %v, %d replayed", ids, replayed)
		}
		a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":3}}`, "Idempotency-Key: k-1")
		if a.StatusCode != 422 || a.problem(t).Code != "idempotency-key-reused" {
			t.Errorf("other body: %s %s", a.Status, a.body)
		}
		if a := f.do(t, "POST", "/v1/services/maths.sub/jobs", body, "Idempotency-Key: k-1"); a.StatusCode != 202 {
			t.Errorf("other service: %s %s", a.Status, a.body)
		}
	})
}

// A list shows each job once, whatever is submitted meanwhile.
func TestList(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials})
		alice := "Authorization: Bearer " + keys["alice"]
		var want []string
		for i := range 7 {
			tag := []string{"odd", "even"}[i%2]
			want = append([]string{f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"tags":["`+tag+`"]}`, alice).ID}, want...)
		}
		f.submit(t, "fail", `{"input":{}}`, "Authorization: Bearer "+keys["bob"], "Prefer: wait=20")
		var got []string
		next := "/v1/jobs?limit=3&service=maths.add"
		for next != "" {
			a := f.do(t, "GET", next, "", alice)
			var list struct {
				Data       []jobs.Job
				NextCursor *string `json:"next_cursor"`
			}
			if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.StatusCode != 200 {
				t.Fatalf("%s %s", a.Status, a.body)
			}
			for _, job := range list.Data {
				got = append(got, job.ID)
			}
			next = ""
			if link := a.Header.Get("Link"); link != "" {
				next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
				if list.NextCursor == nil || !strings.Contains(next, *list.NextCursor) {
					t.Errorf("next_cursor %v, Link %s", list.NextCursor, link)
				}
				f.submit(t, "maths.add", `{"input":{"a":1,"b":2}}`, alice)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		for query, n := range map[string]int{
			"tag=even": 3, "tag=nope": 0, "status=failed,canceled": 0, "created_after=2100-01-01T00:00:00Z": 0, "created_before=2100-01-01T00:00:00Z&limit=200&tag=odd": 4,
		} {
			if a := f.do(t, "GET", "/v1/jobs?"+query, "", alice); strings.Count(a.body, `"id":"job_`) != n {
				t.Errorf("%s: %s, want %d jobs", query, a.body, n)
			}
		}
		f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"tags":["whole"]}`, alice, "Prefer: wait=20")
		if a := f.do(t, "GET", "/v1/jobs?tag=whole", "", alice); !strings.Contains(a.body, `"output":null,"output_omitted":true`) || strings.Contains(a.body, `"input"`) {
			t.Errorf("a list has outputs, or does not say that it leaves them out: %s", a.body)
		}
		root := f.do(t, "GET", "/v1/jobs?status=failed", "", "Authorization: Bearer "+keys["root"])
		if strings.Count(root.body, `"id":"job_`) != 1 {
			t.Errorf("an admin sees %s", root.body)
		}
		f.submit(t, "maths.div", `{"input":{"a":7531,"b":0}}`, alice, "Prefer: wait=20")
		for query, n := range map[string]int{
			"text=7531": 1, "text=DIVISION+by": 1, "text=nowhere": 0, "text=7531&status=succeeded": 0, "text=a%25b": 0,
		} {
			if a := f.do(t, "GET", "/v1/jobs?"+query, "", alice); a.StatusCode != 200 || strings.Count(a.body, `"id":"job_`) != n {
				t.Errorf("%s: %s, want %d jobs", query, a.body, n)
			}
		}
		if a := f.do(t, "GET", "/v1/jobs?text=7531", "", "Authorization: Bearer "+keys["bob"]); strings.Contains(a.body, "job_") {
			t.Errorf("bob finds %s", a.body)
		}
		if a := f.do(t, "GET", "/v1/jobs?text=%00&tag=%ff", "", alice); a.StatusCode != 422 || !strings.Contains(a.body, "query.tag") || !strings.Contains(a.body, "query.text") {
			t.Errorf("%s %s", a.Status, a.body)
		}
	})
}

func TestCancelRetryDelete(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		later := f.submit(t, "maths.add", `{"input":{"a":1,"b":2},"delay":"1h"}`)
		a := f.do(t, "POST", later.CancelURL, `{"reason":"changed my mind"}`)
		if job := a.job(t); a.StatusCode != 200 || job.Status != jobs.Canceled || job.Error.Message != "changed my mind" {
			t.Errorf("cancel waiting: %s %s", a.Status, a.body)
		}
		if a := f.do(t, "GET", later.ResultURL, ""); a.StatusCode != 409 || a.problem(t).Code != "job-canceled" {
			t.Errorf("result of canceled: %s %s", a.Status, a.body)
		}
		running := f.submit(t, "hold", `{"input":{}}`)
		if a := f.do(t, "GET", running.ResultURL, ""); a.StatusCode != 202 || a.Header.Get("Retry-After") != "1" {
			t.Errorf("result of running: %s %v", a.Status, a.Header)
		}
		tag := `W/"1-0"`
		for !strings.Contains(a.body, `"status":"running"`) {
			a = f.do(t, "GET", running.StatusURL+"?wait=20", "", "If-None-Match: "+tag)
			tag = a.Header.Get("ETag")
		}
		if a := f.do(t, "DELETE", "/v1/jobs/"+running.ID, ""); a.StatusCode != 409 || a.problem(t).Code != "not-finished" {
			t.Errorf("delete running: %s %s", a.Status, a.body)
		}
		if a := f.do(t, "POST", running.CancelURL, ""); a.StatusCode != 202 && a.StatusCode != 200 {
			t.Errorf("cancel running: %s %s", a.Status, a.body)
		}
		if job := f.do(t, "GET", running.StatusURL+"?wait=20", "").job(t); job.Status != jobs.Canceled {
			t.Errorf("canceled is %s", job.Status)
		}
		close(f.hold)
		a = f.do(t, "POST", "/v1/jobs/"+running.ID+"/retry", "")
		again := a.job(t)
		if a.StatusCode != 202 || string(again.RetryOf) != running.ID || again.Done || again.Token == "" || a.Header.Get("Location") == "" {
			t.Errorf("retry: %s %s", a.Status, a.body)
		}
		if job := f.do(t, "GET", again.StatusURL+"?wait=20", "").job(t); job.Status != jobs.Succeeded || job.Attempt != 1 {
			t.Errorf("retried is %s, attempt %d", job.Status, job.Attempt)
		}
		if a := f.do(t, "DELETE", "/v1/jobs/"+running.ID, ""); a.StatusCode != 204 || a.body != "" {
			t.Errorf("delete: %s %s", a.Status, a.body)
		}
		for _, url := range []string{running.StatusURL, running.ResultURL, running.EventsURL, "/v1/jobs/" + running.ID} {
			if a := f.do(t, "GET", url, ""); a.StatusCode != 404 || a.problem(t).Code != "not-found" {
				t.Errorf("deleted %s: %s %s", url, a.Status, a.body)
			}
		}
		failed := f.submit(t, "fail", `{"input":{}}`, "Prefer: wait=20")
		if a := f.do(t, "GET", failed.ResultURL, ""); a.StatusCode != 409 || a.problem(t).Code != "job-failed" || !strings.Contains(a.body, "it does not work") {
			t.Errorf("result of failed: %s %s", a.Status, a.body)
		}
	})
}

// Waiting ends with the job, with the time, and with the server.
func TestWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	a := f.do(t, "POST", "/v1/services/hold/jobs", `{"input":{}}`, "Prefer: wait=1")
	if a.StatusCode != 202 || a.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("wait=1: %s %v", a.Status, a.Header)
	}
	job := a.job(t)
	stopped := make(chan answer)
	go func() { stopped <- f.do(t, "GET", job.StatusURL+"?wait=60", "") }()
	for f.hub.Watched() == nil || len(f.hub.Watched()) == 0 {
		time.Sleep(time.Millisecond)
	}
	f.api.Drain()
	if a := <-stopped; a.StatusCode != 200 || a.job(t).Done {
		t.Errorf("drained: %s %s", a.Status, a.body)
	}
}

// The skeleton's callers get the answers they know.
func TestSkeleton(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	alice := "Authorization: Bearer " + keys["alice"]
	task := func(path string) string {
		a := f.do(t, "GET", path, "", alice)
		var m struct {
			Msg    string
			TaskID string `json:"task_id"`
			Status int
		}
		if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.StatusCode != 202 || m.Msg != "process started" || m.Status != 202 || !strings.Contains(a.body, `"status_url":"`) {
			t.Fatalf("%s: %s %s", path, a.Status, a.body)
		}
		f.do(t, "GET", "/v1/jobs/"+m.TaskID+"?wait=20", "", alice)
		return m.TaskID
	}
	for path, want := range map[string]string{
		"/math/3/4":                `"task_status":"SUCCESS","task_result":107}`,
		"/math/03/4":               `"task_status":"SUCCESS","task_result":107}`,
		"/math/9007199254740993/1": `"task_status":"SUCCESS","task_result":9007199254741094}`,
		"/sleep/0":                 `"task_status":"SUCCESS","task_result":"hello, world"}`,
	} {
		id := task(path)
		if a := f.do(t, "GET", "/tasks/"+id, "", alice); a.StatusCode != 200 || a.body != `{"task_id":"`+id+`",`+want+"\n" {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	failed := f.submit(t, "fail", `{"input":{}}`, alice, "Prefer: wait=20")
	if a := f.do(t, "GET", "/tasks/"+failed.ID, "", alice); a.StatusCode != 200 || !strings.Contains(a.body, `"task_status":"FAILURE","task_result":"it does not work"`) {
		t.Errorf("failed task: %s %s", a.Status, a.body)
	}
	for _, test := range []struct {
		method, path, header, body string
		status                     int
	}{
		{"GET", "/tasks/nope", alice, `{"msg":"Not Found","status":404}` + "\n", 404},
		{"GET", "/tasks/" + failed.ID, "Authorization: Bearer " + keys["bob"], `{"msg":"Not Found","status":404}` + "\n", 404},
		{"GET", "/sleep/-1", alice, `{"msg":"Not Found","status":404}` + "\n", 404},
		{"GET", "/sleep/1.5", alice, `{"msg":"Not Found","status":404}` + "\n", 404},
		{"GET", "/math/3/x", alice, `{"msg":"Not Found","status":404}` + "\n", 404},
		{"GET", "/sleep/1", "X: y", "Unauthorized Access", 401},
		{"GET", "/sleep/1", "Authorization: Basic YTpi", "Unauthorized Access", 401},
		{"OPTIONS", "/sleep/1", "X: y", "{}\n", 200},
		{"OPTIONS", "/math/1/2", "X: y", "{}\n", 200},
	} {
		a := f.do(t, test.method, test.path, "", test.header)
		if a.StatusCode != test.status || a.body != test.body {
			t.Errorf("%s %s: %s %q, want %d %q", test.method, test.path, a.Status, a.body, test.status, test.body)
		}
		if a.StatusCode == 401 && a.Header.Get("WWW-Authenticate") != auth.Challenge {
			t.Errorf("WWW-Authenticate: %s", a.Header.Get("WWW-Authenticate"))
		}
	}
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"} {
		if a := f.do(t, "GET", "/sleep/1", "", alice, header); a.StatusCode != 403 {
			t.Errorf("%s: %s %s", header, a.Status, a.body)
		}
	}
	if a := f.do(t, "GET", "/sleep/9999", "", alice); a.StatusCode != 422 || !strings.Contains(a.body, `"msg":"the request is invalid`) {
		t.Errorf("too long: %s %s", a.Status, a.body)
	}
}

// The document changes only when somebody means it to: run the test with
// UPDATE=1 and look at the difference.
func TestOpenAPI(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	a := f.do(t, "GET", "/openapi.json", "")
	var document any
	if err := json.Unmarshal([]byte(a.body), &document); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "openapi.json")
	if os.Getenv("UPDATE") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("/openapi.json is not %s", golden)
	}
	if docs := f.do(t, "GET", "/docs", ""); docs.StatusCode != 200 || !strings.Contains(docs.body, "/v1/services/sleep/jobs") || strings.Contains(docs.body, "//cdn") {
		t.Errorf("docs: %s", docs.Status)
	}
	if a := f.do(t, "GET", "/problems/queue-full", ""); a.StatusCode != http.StatusSeeOther {
		t.Errorf("problem: %s", a.Status)
	}
}

func TestOperations(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	for path, want := range map[string]string{"/healthz": `"ok"`, "/readyz": `"ok"`, "/.well-known/jwks.json": `"crv":"Ed25519"`} {
		if a := f.do(t, "GET", path, ""); a.StatusCode != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	if a := f.do(t, "GET", "/metrics", ""); a.StatusCode != 401 {
		t.Errorf("metrics without credentials: %s", a.Status)
	}
	a := f.do(t, "GET", "/metrics", "", "Authorization: Bearer "+keys["alice"])
	for _, want := range []string{`coatcheck_jobs{status="queued"} 0`, "coatcheck_streams 0", `coatcheck_http_request_duration_seconds_count{method="GET",route="/healthz",status="200"} 1`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	a = f.do(t, "GET", "/v1/services/sleep", "", "Authorization: Bearer "+keys["alice"])
	if !strings.Contains(a.body, `"maximum":3600`) || !strings.Contains(a.body, `"timeout":"2h0m0s"`) {
		t.Errorf("service: %s", a.body)
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{
		queue: func(c *queue.Config) { c.MaxQueued = 2; c.Workers = 0 },
		api:   func(c *api.Config) { c.SubmitRate = 0.001 },
	})
	f.submit(t, "hold", `{"input":{}}`)
	if a := f.do(t, "POST", "/v1/services/hold/jobs", `{"input":{}}`); a.StatusCode != 429 || a.problem(t).Code != "rate-limited" || a.Header.Get("Retry-After") == "" {
		t.Errorf("too fast: %s %s", a.Status, a.body)
	}
	if a := f.do(t, "POST", "/v1/services/hold/jobs", `{"input":`); a.StatusCode != 429 {
		t.Errorf("what can't be read, too fast: %s %s", a.Status, a.body)
	}
	full := newFixture(t, jobstest.SQLite(t), options{queue: func(c *queue.Config) { c.MaxQueued = 2; c.Workers = 0 }})
	full.submit(t, "hold", `{"input":{}}`)
	full.submit(t, "hold", `{"input":{}}`)
	if a := full.do(t, "POST", "/v1/services/hold/jobs", `{"input":{}}`); a.StatusCode != 429 || a.problem(t).Code != "queue-full" || a.Header.Get("Retry-After") != "5" {
		t.Errorf("full: %s %s", a.Status, a.body)
	}
}
