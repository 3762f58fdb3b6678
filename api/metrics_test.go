package api_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// What jobs, runs and callbacks come to can be counted by Prometheus, from 0 on.
func TestMetrics(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		h := newReceiver(t, 200)
		var runs atomic.Int64
		f := newFixture(t, db, callbacks(t, options{services: func(r *jobs.Registry) {
			jobs.Add(r, jobs.Service{Name: "again", Summary: "Succeed at the second attempt."}, func(context.Context, struct{}) (int, error) {
				if runs.Add(1)%2 == 1 {
					return 0, errors.New("not yet")
				}
				return 1, nil
			})
		}}))
		ended := func(service, status, n string) string {
			return `coatcheck_jobs_ended_total{service="` + service + `",status="` + status + `"} ` + n
		}
		f.until(t, "/metrics", ended("again", "succeeded", "0"))
		f.submit(t, "again", `{"input": {}, "callback_url": "`+h.URL+`"}`, "Prefer: wait=20")
		f.submit(t, "fail", `{"input": {}}`, "Prefer: wait=20")
		f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}, "then": [{"service": "maths.mul", "input": {"a": {"$output": ""}, "b": 2}}]}`, "Prefer: wait=20")
		waiting := f.submit(t, "hold", `{"input": {}, "delay": "1h"}`)
		f.do(t, "POST", "/v1/jobs/"+waiting.ID+"/cancel", "")
		f.do(t, "POST", "/v1/callbacks/test", `{"url": "`+h.URL+`"}`)
		f.until(t, "/metrics", `coatcheck_callback_attempts_total{outcome="delivered"} 2`)
		h.answer(410)
		f.do(t, "POST", "/v1/callbacks/test", `{"url": "`+h.URL+`"}`)
		f.submit(t, "again", `{"input": {}, "callback_url": "`+h.URL+`"}`, "Prefer: wait=20")
		f.until(t, "/metrics", `coatcheck_callback_attempts_total{outcome="given_up"} 1`)
		for _, want := range []string{
			ended("again", "succeeded", "2"), ended("fail", "failed", "1"), ended("hold", "canceled", "1"), ended("maths.add", "succeeded", "1"), ended("maths.mul", "succeeded", "0"),
			`coatcheck_job_wait_seconds_count{service="again"} 2`, `coatcheck_job_wait_seconds_count{service="hold"} 0`, `coatcheck_job_wait_seconds_bucket{service="again",le="15"} 2`,
			`coatcheck_run_duration_seconds_count{service="again",status="retrying"} 2`, `coatcheck_run_duration_seconds_count{service="again",status="succeeded"} 2`,
			`coatcheck_run_duration_seconds_count{service="fail",status="failed"} 1`, `coatcheck_run_duration_seconds_count{service="maths.add",status="queued"} 1`, `coatcheck_run_duration_seconds_count{service="maths.mul",status="succeeded"} 1`,
			`coatcheck_callback_attempts_total{outcome="delivered"} 2`, `coatcheck_callback_attempts_total{outcome="failed"} 1`, "coatcheck_queue_age_seconds 0", "coatcheck_callbacks_pending 0",
			`coatcheck_jobs{status="retrying"} 0`, "coatcheck_slots 10", `coatcheck_check{check="events"} 0`, "go_goroutines ",
		} {
			f.until(t, "/metrics", want)
		}
	})
}
