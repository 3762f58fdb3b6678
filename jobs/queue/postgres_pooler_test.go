//go:build unix

package queue_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// bounced returns the URL of a database that is reached through PgBouncer.
func bounced(t *testing.T, mode string) string {
	t.Helper()
	u, err := url.Parse(jobstest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = jobstest.PgBouncer(t, u.Host, mode)
	return u.String()
}

func TestPoolerInSessionMode(t *testing.T) {
	t.Parallel()
	db := jobstest.Open(t, bounced(t, "session"))
	q, _ := newQueue(t, db, newServices(), nil)
	job := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":2}`)})
	if job := finished(t, q, job.ID); job.Status != jobs.Succeeded {
		t.Errorf("got %s, %+v", job.Status, job.Error)
	}
}

func TestPoolerInTransactionModeIsRefused(t *testing.T) {
	t.Parallel()
	url := bounced(t, "transaction")
	for range 3 {
		db, err := store.OpenPostgres(t.Context(), url, 12)
		if err == nil {
			db.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "session mode") {
			t.Errorf("got %v", err)
		}
	}
}
