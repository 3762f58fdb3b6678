//go:build unix

package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// readiness is what /readyz says.
type readiness struct {
	Status string
	Checks []queue.Check
	Errors []struct{ Location, Message string }
}

func (f *fixture) readiness(t *testing.T) (status int, r readiness) {
	t.Helper()
	a := f.do(t, "GET", "/readyz", "")
	if err := json.Unmarshal([]byte(a.body), &r); err != nil && !strings.Contains(err.Error(), "cannot unmarshal number") {
		t.Fatalf("%v in %s", err, a.body)
	}
	return a.StatusCode, r
}

// While the database is away everything that needs it is refused at once,
// with a problem that says when to come back, and streams go on afterwards.
func TestDatabaseUnavailable(t *testing.T) {
	t.Parallel()
	server := jobstest.PrivatePostgres(t)
	f := newFixture(t, jobstest.Open(t, "postgres://postgres@"+server.Addr+"/postgres"), options{})
	job := f.do(t, "POST", "/v1/services/hold/jobs", `{"input":{}}`).job(t)
	jobstest.Until(t, "progress", func() bool { return f.do(t, "GET", "/v1/jobs/"+job.ID, "").job(t).Progress.Percent == 40 })
	resp, err := http.Get(f.URL + "/v1/jobs/" + string(job.Token) + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stream := bufio.NewReader(resp.Body)
	for line := ""; line != "event: snapshot\n"; {
		if line, err = stream.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}

	server.Stop()
	jobstest.Until(t, "alarm", func() bool { status, _ := f.readiness(t); return status == 503 })
	if _, r := f.readiness(t); r.Errors[0].Location != "database" || !strings.Contains(r.Errors[0].Message, "start it") {
		t.Errorf("readyz: %+v", r)
	}
	for _, call := range [][3]string{
		{"POST", "/v1/services/hold/jobs", `{"input":{}}`},
		{"GET", "/v1/jobs/" + job.ID, ""},
		{"GET", "/v1/jobs/" + string(job.Token) + "/result", ""},
		{"GET", "/v1/jobs", ""},
		{"POST", "/v1/jobs/" + job.ID + "/cancel", ""},
		{"POST", "/v1/jobs/" + job.ID + "/retry", ""},
		{"DELETE", "/v1/jobs/" + job.ID, ""},
		{"GET", "/v1/jobs/" + string(job.Token) + "/events", ""},
		{"GET", "/v1/deliveries", ""},
		{"GET", "/v1/jobs/" + job.ID + "/deliveries", ""},
	} {
		start := time.Now()
		a := f.do(t, call[0], call[1], call[2])
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" || a.problem(t).Code != "unavailable" {
			t.Errorf("%s %s: %s, Retry-After %q, %s", call[0], call[1], a.Status, a.Header.Get("Retry-After"), a.body)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s %s took %v", call[0], call[1], took)
		}
	}
	if a := f.do(t, "GET", "/healthz", ""); a.StatusCode != 200 {
		t.Errorf("healthz: %s: the process lives", a.Status)
	}
	if a := f.do(t, "GET", "/metrics", ""); !strings.Contains(a.body, `coatcheck_check{check="database"} 2`) {
		t.Errorf("metrics without the alarm: %s", a.Status)
	}

	server.Start()
	jobstest.Until(t, "all-clear", func() bool { status, _ := f.readiness(t); return status == 200 })
	close(f.hold)
	rest, err := io.ReadAll(stream)
	if err != nil || strings.Count(string(rest), "event: end") != 1 || !strings.Contains(string(rest), `"output":"held"`) {
		t.Errorf("the stream that was open: %v, %s", err, rest)
	}
	if a := f.do(t, "GET", "/v1/jobs/"+job.ID, "").job(t); a.Status != jobs.Succeeded || a.Attempt != 1 {
		t.Errorf("got %s, attempt %d", a.Status, a.Attempt)
	}
	if lines := strings.Count(f.log.String(), "check=database status=failing"); lines != 1 {
		t.Errorf("%d lines say that the database is away, want one", lines)
	}
}

// A database that refuses the login is away for every call; who it is that may not
// log in, and where, is for the log.
func TestDatabaseRefusesLogin(t *testing.T) {
	t.Parallel()
	server := jobstest.PrivatePostgres(t)
	admin := jobstest.Open(t, "postgres://postgres@"+server.Addr+"/postgres")
	do := func(statement string) {
		t.Helper()
		if _, err := admin.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	do(`CREATE ROLE red_user SUPERUSER LOGIN`)
	f := newFixture(t, jobstest.Open(t, "postgres://red_user@"+server.Addr+"/postgres"), options{})
	jobstest.Until(t, "start", func() bool { status, _ := f.readiness(t); return status == 200 })
	do(`ALTER ROLE red_user NOLOGIN`)
	do(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'red_user'`)
	jobstest.Until(t, "alarm", func() bool {
		status, r := f.readiness(t)
		return status == 503 && strings.Contains(r.Errors[0].Message, "refuses the login")
	})
	for _, call := range [][3]string{{"GET", "/readyz", ""}, {"GET", "/v1/jobs", ""}, {"GET", "/v1/deliveries", ""}, {"POST", "/v1/services/maths.add/jobs", sum}} {
		a := f.do(t, call[0], call[1], call[2])
		if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %s %s", call[0], call[1], a.Status, a.body)
		}
		if strings.Contains(a.body, "red_user") || strings.Contains(a.body, server.Addr) || strings.Contains(a.body, "28000") {
			t.Errorf("%s %s tells too much: %s", call[0], call[1], a.body)
		}
	}
	if !strings.Contains(f.log.String(), "red_user") {
		t.Error("the log does not have the cause")
	}
	do(`ALTER ROLE red_user LOGIN`)
	jobstest.Until(t, "all-clear", func() bool { status, _ := f.readiness(t); return status == 200 })
}

// Jobs that nobody runs are a warning that says so, until somebody does.
func TestNoWorkers(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		server := newFixture(t, db, options{queue: func(c *queue.Config) { c.Workers, c.StuckAfter = 0, 100*time.Millisecond }})
		server.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`)
		check := func() queue.Check {
			status, r := server.readiness(t)
			if status != 200 {
				t.Errorf("readyz: %d, want 200: jobs are taken", status)
			}
			for _, c := range r.Checks {
				if c.Name == "queue" {
					return c
				}
			}
			return queue.Check{}
		}
		jobstest.Until(t, "warning", func() bool { return check().Status == queue.Warning })
		if check := check(); !strings.Contains(check.Detail, "start a worker") || check.Since == nil {
			t.Errorf("got %+v", check)
		}
		newFixture(t, db, options{})
		jobstest.Until(t, "all-clear", func() bool { return check().Status == queue.OK })
	})
}

// A user who fills the queue does not fill it for others.
func TestUserQueueFull(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, queue: func(c *queue.Config) { c.Workers, c.MaxQueuedByUser = 0, 2 }})
	submit := func(user string) answer {
		return f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`, "Authorization: Bearer "+keys[user])
	}
	for range 2 {
		if a := submit("alice"); a.StatusCode != 202 {
			t.Fatalf("%s %s", a.Status, a.body)
		}
	}
	if a := submit("alice"); a.StatusCode != 429 || a.problem(t).Code != "queue-full" || a.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if a := submit("bob"); a.StatusCode != 202 {
		t.Errorf("another user: %s %s", a.Status, a.body)
	}
}
