package queue_test

import (
	"encoding/json"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// A chain that a process of the release before has submitted, which knows no
// step_count, runs to its end all the same.
func TestChainWithoutStepCount(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		job := submit(t, q, jobs.Submission{
			Service: "double", Input: json.RawMessage(`{"n":3}`), RunAt: time.Now().Add(2 * time.Second),
			Then: []jobs.NextStep{{Service: "double", Input: json.RawMessage(`{"n":{"$output":"/n"}}`)}},
		})
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET step_count = 1 WHERE id = $1`, job.ID); err != nil {
			t.Fatal(err)
		}
		if job = finished(t, q, job.ID); job.Status != jobs.Succeeded || job.Steps != 2 || string(job.Output) != `{"n":12}` {
			t.Errorf("%s after %d of %d steps with output %s", job.Status, job.Step, job.Steps, job.Output)
		}
	})
}
