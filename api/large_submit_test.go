package api_test

import (
	"context"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

// A job that was submitted is never answered by an error because its output is
// large: the caller would submit it again.
func TestSubmitAndWaitWhenLargeOutputsAreBusy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: func(r *jobs.Registry) {
		jobs.Add(r, jobs.Service{Name: "large", Summary: "Return much."}, func(context.Context, struct{}) (string, error) {
			return strings.Repeat("x", 100_000), nil
		})
	}})
	f.api.AcquireAllLargeOutputs()
	a := f.do(t, "POST", "/v1/services/large/jobs", `{"input": {}}`, "Prefer: wait=20")
	if job := a.job(t); a.StatusCode != 200 || job.Status != jobs.Succeeded || job.Output != nil && string(job.Output) != "null" || !job.OutputOmitted {
		t.Errorf("got %s with %d bytes of output, output_omitted %t", a.Status, len(job.Output), job.OutputOmitted)
	}
}
