package queue_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// Each step has the timeout and the attempts of its own service, unless the submitter requests
// others for all steps.
func TestStepsHaveLimitsOfTheirServices(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		jobs.Add(&services.Registry, jobs.Service{Name: "once", MaxAttempts: 1, Timeout: 3 * time.Second}, func(context.Context, struct{}) (number, error) {
			return number{3}, nil
		})
		q, _ := newQueue(t, db, services, nil)
		then := []jobs.NextStep{{Service: "flaky", Input: json.RawMessage(`{"$output": ""}`)}}
		first := submit(t, q, jobs.Submission{Service: "once", Then: then})
		if first.MaxAttempts != 1 || time.Duration(first.Timeout) != 3*time.Second {
			t.Errorf("first step: %d attempts, timeout %s", first.MaxAttempts, time.Duration(first.Timeout))
		}
		job := finished(t, q, first.ID)
		if job.Status != jobs.Succeeded || job.Attempt != 3 || job.MaxAttempts != 3 || time.Duration(job.Timeout) != 15*time.Minute {
			t.Errorf("%s in attempt %d of %d, timeout %s", job.Status, job.Attempt, job.MaxAttempts, time.Duration(job.Timeout))
		}
		services.calls["flaky"] = 0
		again, err := job.Again("https://api.example", "again")
		if err != nil {
			t.Fatal(err)
		}
		if job = finished(t, q, submit(t, q, again).ID); job.Status != jobs.Succeeded || job.Attempt != 3 {
			t.Errorf("again: %s in attempt %d of %d", job.Status, job.Attempt, job.MaxAttempts)
		}
		services.calls["flaky"] = 0
		job = finished(t, q, submit(t, q, jobs.Submission{Service: "once", MaxAttempts: 2, Timeout: time.Minute, Then: then}).ID)
		if job.Status != jobs.Failed || job.Attempt != 2 || job.MaxAttempts != 2 || time.Duration(job.Timeout) != time.Minute {
			t.Errorf("requested: %s in attempt %d of %d, timeout %s", job.Status, job.Attempt, job.MaxAttempts, time.Duration(job.Timeout))
		}
	})
}
