package api_test

import (
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// The server's log has a line for each job that ends, and one for each attempt that fails.
func TestJobsInLog(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		good := f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}}`, "Prefer: wait=30")
		bad := f.submit(t, "fail", `{"input": {}}`, "Prefer: wait=30")
		running := f.submit(t, "hold", `{"input": {}}`)
		f.until(t, running.StatusURL, `"percent":40`)
		f.do(t, "POST", "/v1/jobs/"+running.ID+"/cancel", `{}`)
		f.until(t, running.StatusURL, `"status":"canceled"`)
		log := f.log.String()
		for _, want := range []string{
			`level=INFO msg="job ended" job=` + good.ID + ` service=maths.add status=succeeded attempt=1 took=`,
			`level=WARN msg="attempt failed" job=` + bad.ID + ` service=fail attempt=1 max_attempts=3 took=`,
			`code=failed err="it does not work" status=failed`,
			`level=INFO msg="job ended" job=` + bad.ID + ` service=fail status=failed attempt=1 took=`,
			`level=INFO msg="job ended" job=` + running.ID + ` service=hold status=canceled attempt=1 took=`,
		} {
			if strings.Count(log, want) != 1 {
				t.Errorf("want once %s in\n%s", want, log)
			}
		}
		if strings.Contains(log, "remotely") || strings.Contains(log, `msg="attempt failed" job=`+running.ID) {
			t.Errorf("River's words, or a canceled attempt that failed, in\n%s", log)
		}
	})
}
