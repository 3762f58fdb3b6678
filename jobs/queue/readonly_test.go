package queue_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // a driver that is not ours

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
)

// A failover leaves connections with a server that takes no changes any more.
// Soon after there is one that does, jobs are taken again and run.
func TestReadOnlyConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	at := jobstest.PostgresURL(t)
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	server, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := server.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	q, _ := newQueue(t, jobstest.Open(t, at), newServices(), nil)
	finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)

	exec(`ALTER DATABASE ` + name + ` SET default_transaction_read_only = on`)
	exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `'`)
	await(t, "alarm", func() bool {
		c := check(q, "database")
		return c.Status == queue.Failing && strings.Contains(c.Detail, "read-only")
	})
	exec(`ALTER DATABASE ` + name + ` RESET default_transaction_read_only`) // for new connections
	start := time.Now()
	var job jobs.Job
	await(t, "recovery", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		job, _, err = q.Submit(ctx, jobs.Submission{Owner: "alice", Service: "double", Input: []byte(`{"n":1}`)})
		if err != nil && !queue.Unavailable(err) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Logf("jobs are taken again after %s", time.Since(start).Round(time.Millisecond))
	finished(t, q, job.ID)
}
