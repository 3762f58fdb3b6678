//go:build unix

package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// lines keeps the lines of a queue's log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The database goes away for longer than a worker may be silent, and comes
// back. Nobody is taken for dead, what ran goes on and is finished, and jobs
// were refused at once.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	server := jobstest.PrivatePostgres(t)
	url := "postgres://postgres@" + server.Addr + "/postgres"
	services := newServices()
	log := new(lines)
	logged := func(c *queue.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) }
	one, _ := newQueue(t, jobstest.Open(t, url), services, logged)
	two, _ := newQueue(t, jobstest.Open(t, url), services, nil)
	var held []jobs.Job
	for range 6 {
		held = append(held, submit(t, one, jobs.Submission{Service: "hold"}))
	}
	for range held {
		<-services.started
	}

	down := time.Now()
	server.Stop()
	await(t, "alarm", func() bool {
		return check(one, "database").Status == queue.Failing && check(two, "database").Status == queue.Failing
	})
	for range 20 {
		start := time.Now()
		_, _, err := one.Submit(t.Context(), jobs.Submission{Service: "double", Input: json.RawMessage(`{}`)})
		if !errors.Is(err, store.ErrUnavailable) || time.Since(start) > time.Second {
			t.Fatalf("got %v after %v, want %v at once", err, time.Since(start), store.ErrUnavailable)
		}
		if _, err := one.Get(t.Context(), held[0].ID); !queue.Unavailable(err) {
			t.Fatalf("get: %v", err)
		}
	}
	close(services.hold) // they end while nobody can write that
	// Longer than a worker may be silent.
	time.Sleep(time.Until(down.Add(7 * time.Second)))
	server.Start()
	for _, job := range held {
		job = untilBack(t, one, job.ID)
		if job.Status != jobs.Succeeded || job.Attempt != 1 || job.LastEventID != "3-0" {
			t.Errorf("got %s, attempt %d, event %s, %+v", job.Status, job.Attempt, job.LastEventID, job.Error)
		}
	}
	await(t, "all-clear", func() bool {
		return check(one, "database").Status == queue.OK && check(two, "database").Status == queue.OK
	})
	job := submit(t, two, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":1}`)})
	finished(t, one, job.ID)
	if n := one.Counters().Recovered + two.Counters().Recovered; n != 0 {
		t.Errorf("%d jobs were taken from workers that lived", n)
	}
	if text := log.String(); strings.Count(text, "check=database status=failing") != 1 || strings.Count(text, "check=database status=ok") != 1 || strings.Count(text, "\n")-strings.Count(text, "job ended") > 6 {
		t.Errorf("want one line when it goes and one when it comes back, got\n%s", text)
	}
}

// A change that waits for its lock for seconds is a database that fails, though
// it answers what is read.
func TestHealthOfStuckCommit(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		tx, err := db.Write.BeginTx(t.Context(), nil) // on SQLite, this is the lock
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if db.Postgres() {
			if _, err := tx.ExecContext(t.Context(), `LOCK TABLE jobs IN SHARE MODE`); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = q.Submit(t.Context(), jobs.Submission{Service: "double"}) })
		await(t, "alarm", func() bool { return check(q, "database").Status == queue.Failing })
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("seen after %s, want 5 s at most", took)
		}
		_ = tx.Rollback() // PostgreSQL may have ended it: it was idle
		wg.Wait()
		await(t, "all-clear", func() bool { return check(q, "database").Status == queue.OK })
		finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
	})
}

// untilBack waits until the job is done, whatever the database answers
// meanwhile.
func untilBack(t *testing.T, q *queue.Queue, id string) (job jobs.Job) {
	t.Helper()
	await(t, "end of the job", func() bool {
		var err error
		job, err = q.Get(t.Context(), id)
		if err != nil && !queue.Unavailable(err) {
			t.Fatal(err)
		}
		return err == nil && job.Done
	})
	return job
}

// Connections that are there and through which nothing comes hold up nobody
// for long.
func TestDatabaseConnectionsDie(t *testing.T) {
	t.Parallel()
	server := jobstest.PrivatePostgres(t)
	proxy := jobstest.NewProxy(t, server.Addr)
	q, _ := newQueue(t, jobstest.Open(t, "postgres://postgres@"+proxy.Addr+"/postgres"), newServices(), nil)
	finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
	for _, fault := range []jobstest.Fault{jobstest.Reset, jobstest.HalfOpen} {
		proxy.Set(fault)
		await(t, "alarm", func() bool { return check(q, "database").Status == queue.Failing })
		start := time.Now()
		if _, _, err := q.Submit(t.Context(), jobs.Submission{Service: "double", Input: json.RawMessage(`{}`)}); !errors.Is(err, store.ErrUnavailable) || time.Since(start) > time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		proxy.Set(jobstest.None)
		await(t, "all-clear", func() bool { return check(q, "database").Status == queue.OK })
		var job jobs.Job
		await(t, "job", func() (ok bool) {
			var err error
			job, _, err = q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{}`), BaseURL: "https://api.example"})
			return err == nil
		})
		if job = untilBack(t, q, job.ID); job.Status != jobs.Succeeded {
			t.Errorf("got %s", job.Status)
		}
	}
}

// A process that is frozen in a transaction keeps its locks only for a while.
func TestFrozenTransactionEnds(t *testing.T) {
	t.Parallel()
	url := jobstest.PostgresURL(t)
	db := jobstest.Open(t, url)
	q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
	job := submit(t, q, jobs.Submission{Service: "double"})
	tx, err := jobstest.Open(t, url).Write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE`, job.ID); err != nil {
		t.Fatal(err)
	}
	await(t, "cancellation", func() bool {
		_, err := q.Cancel(t.Context(), job.ID, "")
		return err == nil || errors.Is(err, jobs.ErrFinished)
	})
}

// A database that takes nothing keeps what it has, takes nothing half, and is
// found well by itself.
func TestReadOnlyDatabase(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, nil)
		kept := submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		setReadOnly(t, db, true)
		await(t, "refusal", func() bool {
			_, _, err := q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{}`)})
			return queue.Unavailable(err)
		})
		await(t, "alarm", func() bool { return strings.Contains(check(q, "database").Detail, "read-only") })
		if job, err := q.Get(t.Context(), kept.ID); err != nil || job.Status != jobs.Running {
			t.Errorf("reading: %s, %v", job.Status, err)
		}
		close(services.hold)
		setReadOnly(t, db, false)
		var job jobs.Job
		await(t, "end", func() (done bool) { // some connections are dead, and found out one by one
			var err error
			job, err = q.Get(t.Context(), kept.ID)
			return err == nil && job.Done
		})
		if job.Status != jobs.Succeeded || job.Attempt != 1 {
			t.Errorf("got %s, attempt %d", job.Status, job.Attempt)
		}
		await(t, "all-clear", func() bool { return check(q, "database").Status == queue.OK })
		await(t, "another job", func() bool {
			_, _, err := q.Submit(t.Context(), jobs.Submission{Owner: "alice", Service: "double", Input: json.RawMessage(`{"n":1}`)})
			return err == nil
		})
	})
}

func setReadOnly(t *testing.T, db *store.DB, on bool) {
	t.Helper()
	statements := []string{map[bool]string{true: `PRAGMA query_only = 1`, false: `PRAGMA query_only = 0`}[on]}
	if db.Postgres() {
		var name string
		if err := db.Write.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		statements = []string{
			`SET default_transaction_read_only = off`,
			`ALTER DATABASE ` + name + ` SET default_transaction_read_only = ` + map[bool]string{true: "on", false: "off"}[on],
			`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
		}
	}
	conn, err := db.Write.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, stmt := range statements {
		if _, err := conn.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	if db.Postgres() { // this connection too becomes what the others are
		conn.ExecContext(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
	}
}
