package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// die makes the job look as if a worker had been killed while it ran it.
func die(t *testing.T, db *store.DB, id string, recoveries int) {
	t.Helper()
	_, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET status = 'running', version = version + 1, attempt = 1, run_id = 'lost', worker_id = 'dead', recoveries = $1 WHERE id = $2`, recoveries, id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Write.ExecContext(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP WHERE id = (SELECT river_job_id FROM jobs WHERE id = $1)`, id)
	if err != nil {
		t.Fatal(err)
	}
}

func TestJobOfDeadWorkerRunsAgain(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		lost := submit(t, front, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":2}`), MaxAttempts: 1})
		killer := submit(t, front, jobs.Submission{Service: "double"})
		die(t, db, lost.ID, 0)
		die(t, db, killer.ID, 3)
		q, _ := newQueue(t, db, newServices(), nil)
		if job := finished(t, q, lost.ID); job.Status != jobs.Succeeded || job.Attempt != 1 || string(job.Output) != `{"n":4}` {
			t.Errorf("got %s, attempt %d, output %s", job.Status, job.Attempt, job.Output)
		}
		if job := finished(t, q, killer.ID); job.Status != jobs.Failed || job.Error.Code != "worker_lost" {
			t.Errorf("got %s, %+v", job.Status, job.Error)
		}
	})
}

func TestStaleWorkerLosesItsJobs(t *testing.T) {
	db := jobstest.Open(t, jobstest.PostgresURL(t))
	front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
	job := submit(t, front, jobs.Submission{Service: "double"})
	die(t, db, job.ID, 0)
	// Whatever the time is by the clock of whoever wrote it.
	if _, err := db.Write.ExecContext(t.Context(), `INSERT INTO workers (id, host, concurrency, started_at, beat_at) VALUES ('dead', 'h', 1, 0, $1)`, time.Now().Add(time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	q, _ := newQueue(t, db, newServices(), nil)
	job = finished(t, q, job.ID)
	if job.Status != jobs.Succeeded {
		t.Errorf("got %s", job.Status)
	}
	if waited := job.FinishedAt.Sub(start); waited < 4*time.Second {
		t.Errorf("taken away after %v, while its worker might have lived", waited)
	}
}

// A worker died after it fetched the job and before it wrote that it starts.
func TestFetchedJobOfDeadWorkerRunsAgain(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		job := submit(t, front, jobs.Submission{Service: "double"})
		fetch(t, db, job.ID, "dead")
		q, _ := newQueue(t, db, newServices(), nil)
		if job := finished(t, q, job.ID); job.Status != jobs.Succeeded || job.Attempt != 1 {
			t.Errorf("got %s, attempt %d", job.Status, job.Attempt)
		}
	})
}

// fetch makes the job look as if the worker's River client had fetched it.
func fetch(t *testing.T, db *store.DB, id, worker string) {
	t.Helper()
	by := `jsonb('["` + worker + `"]')`
	if db.Postgres() {
		by = `ARRAY['` + worker + `']`
	}
	_, err := db.Write.ExecContext(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP, attempted_by = `+by+` WHERE id = (SELECT river_job_id FROM jobs WHERE id = $1)`, id)
	if err != nil {
		t.Fatal(err)
	}
}

// The database was away when this process wanted to read what it had claimed.
func TestIdleClaimedDeliveryIsAttempted(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		receiver := newReceiver(t, http.StatusInternalServerError, http.StatusOK)
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) {
			sender(t, c)
			c.Schedule = notify.Schedule{0, time.Hour}
		})
		job := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":2}`), CallbackURL: receiver.URL})
		eventually(t, q, job.ID, "failed attempt", func(j jobs.Job) bool { return j.Callback != nil && j.Callback.Attempts == 1 })
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE deliveries SET claimed_by = $1, claims = claims + 1, next_attempt_at = 0`, q.WorkerID()); err != nil {
			t.Fatal(err)
		}
		jobstest.Until(t, "second attempt", func() bool { return len(receiver.received()) == 2 })
	})
}

// The database was away when this process wanted to write that it starts a
// job, or what came of it, and when River wanted to write that, too.
func TestIdleFetchedJobRunsAgain(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers = 1 })
		submit(t, q, jobs.Submission{Service: "hold"}) // nobody takes the others meanwhile
		<-services.started
		fetched, run := submit(t, q, jobs.Submission{Service: "double"}), submit(t, q, jobs.Submission{Service: "double"})
		fetch(t, db, fetched.ID, q.WorkerID())
		die(t, db, run.ID, 0)
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET worker_id = $1 WHERE id = $2`, q.WorkerID(), run.ID); err != nil {
			t.Fatal(err)
		}
		close(services.hold)
		for _, id := range []string{fetched.ID, run.ID} {
			if job := finished(t, q, id); job.Status != jobs.Succeeded {
				t.Errorf("got %s, %+v", job.Status, job.Error)
			}
		}
	})
}

// A River leader that doesn't know the service discards the River job of a
// run after two minutes. That is no reason to run the job again.
func TestRunOutlivesItsRiverJob(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE river_job SET state = 'discarded', finalized_at = CURRENT_TIMESTAMP`); err != nil {
			t.Fatal(err)
		}
		if err := q.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(services.hold)
		if job := finished(t, q, job.ID); job.Status != jobs.Succeeded || job.LastEventID != "3-0" {
			t.Errorf("got %s at event %s", job.Status, job.LastEventID)
		}
	})
}

// Whatever happens to River's rows, the job goes on or ends.
func TestReconcile(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		gone, discarded, canceled := submit(t, front, jobs.Submission{Service: "double"}), submit(t, front, jobs.Submission{Service: "double"}), submit(t, front, jobs.Submission{Service: "double"})
		for _, stmt := range []string{
			`DELETE FROM river_job WHERE id = (SELECT river_job_id FROM jobs WHERE id = '` + gone.ID + `')`,
			`UPDATE river_job SET state = 'discarded', finalized_at = CURRENT_TIMESTAMP WHERE id = (SELECT river_job_id FROM jobs WHERE id = '` + discarded.ID + `')`,
			`UPDATE river_job SET state = 'cancelled', finalized_at = CURRENT_TIMESTAMP WHERE id = (SELECT river_job_id FROM jobs WHERE id = '` + canceled.ID + `')`,
		} {
			if _, err := db.Write.ExecContext(t.Context(), stmt); err != nil {
				t.Fatal(err)
			}
		}
		q, _ := newQueue(t, db, newServices(), nil)
		for id, want := range map[string]jobs.Status{gone.ID: jobs.Succeeded, discarded.ID: jobs.Succeeded, canceled.ID: jobs.Canceled} {
			if job := finished(t, q, id); job.Status != want {
				t.Errorf("got %s, want %s", job.Status, want)
			}
		}
	})
}

// A job whose worker was lost keeps its place before those that came later, and
// so does one that a process hands back when it stops.
func TestRecoveredJobKeepsQueuePosition(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		ran := make(chan float64, 10)
		jobs.Add(&services.Registry, jobs.Service{Name: "note"}, func(_ context.Context, in number) (string, error) {
			ran <- in.N
			return "", nil
		})
		note := func(q *queue.Queue, n int) jobs.Job {
			return submit(t, q, jobs.Submission{Service: "note", Input: fmt.Appendf(nil, `{"n":%d}`, n)})
		}
		one := func(c *queue.Config) { c.Workers = 1 }
		first, _ := newQueue(t, db, services, one)
		held := submit(t, first, jobs.Submission{Service: "hold"})
		<-services.started
		lost := note(first, 1)
		for n := 2; n <= 4; n++ {
			note(first, n)
		}
		if err := first.Stop(t.Context()); err != nil { // hands the held one back
			t.Fatal(err)
		}
		die(t, db, lost.ID, 0)
		second, _ := newQueue(t, db, services, one)
		<-services.started // the held one, before all others
		if db.Postgres() {
			eventually(t, second, lost.ID, "queued", func(j jobs.Job) bool { return j.Status == jobs.Queued })
		}
		close(services.hold)
		finished(t, second, held.ID)
		for want := 1.0; want <= 4; want++ {
			if got := <-ran; got != want {
				t.Errorf("%v ran in the place of %v", got, want)
			}
		}
	})
}
