package queue_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// addDeliveries inserts n deliveries with ids that sort by their number all created at a
// time. The other arguments are expressions of the number.
func addDeliveries(t *testing.T, db *store.DB, n int, owner, event, url, status string, at time.Time) {
	t.Helper()
	origin, body := `'https://' || `+owner+` || '.example'`, "''"
	if !db.Postgres() {
		body = "x''"
	}
	if _, err := db.Write.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO deliveries
		(id, job_id, owner, event, url, origin, body, status, attempts, created_at)
		SELECT '%s' || (1000000 + n), 'job_' || n, %s, %s, %s, %s, %s, %s, 1, %d
		FROM (WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d)
			SELECT n FROM numbers) s`,
		keys.FirstID("msg_", at)[:14], owner, event, url, origin, body, status, at.UnixMilli(), n)); err != nil {
		t.Fatal(err)
	}
}

// What no index finds is searched among the newest deliveries with the owner and status only.
func TestSearchDeliveries(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		now := time.Now()
		addDeliveries(t, db, queue.MaxSearched+2, "'alice'",
			"CASE WHEN n < 4 THEN 'job.failed' ELSE 'job.succeeded' END",
			"'https://alice.example/' || n || '_x'", "CASE WHEN n < 4 THEN 'failed' ELSE 'delivered' END", now)
		for want, f := range map[string]queue.DeliveryFilter{
			"3":     {Event: "job.failed"},
			"3 2 1": {Event: "job.failed", Status: "failed"},
			"2":     {Event: "job.failed", JobID: "job_2"},
			"":      {Event: "job.failed", Owner: "bob"},
			"5555":  {Text: "EXAMPLE/5555_"},
			"1":     {Text: "alice.example/1_x", Status: "failed", CreatedAfter: now.Add(-time.Millisecond)},
			"none":  {Text: "alice.example/1_x", Status: "failed", CreatedAfter: now},
			"later": {Origin: "https://alice.example", CreatedBefore: now},
			"10002": {Origin: "https://alice.example", Text: "/10002_x"},
			"host":  {Origin: "https://alice.exampl"},
		} {
			f.Limit, f.WithoutAttempts = 10, true
			found, err := q.Deliveries(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, len(found))
			for i, d := range found {
				got[i] = strings.TrimPrefix(string(d.JobID), "job_")
			}
			numbers := slices.DeleteFunc(strings.Fields(want), func(s string) bool { return s[0] > '9' })
			if !slices.Equal(got, numbers) {
				t.Errorf("%+v finds %v, want %v", f, got, numbers)
			}
			if n, err := q.CountDeliveries(t.Context(), f); err != nil || n != len(numbers) {
				t.Errorf("%+v: %d are counted, %v", f, n, err)
			}
		}
		for _, owner := range []string{"alice", ""} {
			counts, err := q.CountUndelivered(t.Context(), owner, 2)
			if err != nil || counts["failed"] != 2 || counts["pending"] != 0 {
				t.Errorf("%q has %v, %v", owner, counts, err)
			}
			receivers, n, err := q.CallbackReceivers(t.Context(), owner)
			if err != nil || n != 1 || len(receivers) != 1 ||
				receivers[0].Delivered != queue.MaxSearched-1 || receivers[0].Failed != 1 {
				t.Errorf("%q: %d receivers %+v, %v", owner, n, receivers, err)
			}
		}
	})
}

// The pages of callbacks read what they show, and neither the table nor all of an owner's.
func TestDeliveryPlans(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		count, explain := 100_000, "EXPLAIN QUERY PLAN "
		switch {
		case db.Postgres():
			explain = "EXPLAIN "
		case jobstest.Race:
			count = 2_000
		}
		now := time.Now()
		addDeliveries(t, db, count, "CASE n % 50 WHEN 4 THEN 'alice' ELSE 'bob' END",
			"'job.succeeded'", "'https://a.example/'",
			`CASE WHEN n % 500 = 4 OR n % 10 = 5 THEN 'failed' WHEN n % 1000 = 54 THEN 'pending'
				ELSE 'delivered' END`, now)
		if _, err := db.Write.ExecContext(t.Context(), `ANALYZE`); err != nil {
			t.Fatal(err)
		}
		check := func(index, query string, args []any) {
			t.Helper()
			plan := explained(t, db.Write, explain+query, args)
			scans := strings.Contains(plan, "Seq Scan on deliveries") || strings.Contains(plan, "SCAN d\n") ||
				// Without a condition, the limit is near.
				strings.Contains(plan, "SCAN deliveries\n") && strings.Contains(query, "WHERE")
			if scans || !strings.Contains(plan, index) {
				t.Errorf("%s\ndoes not go by %s:\n%s", query, index, plan)
			}
		}
		for index, f := range map[string]queue.DeliveryFilter{
			"deliveries_owner": {Owner: "alice"}, "deliveries_owner_failed": {Owner: "alice", Status: "failed"},
			"deliveries_failed": {Status: "failed"}, "deliveries_job": {JobID: "job_7", Event: "job.failed"},
			"deliveries_due": {Owner: "alice", Status: "pending"},
		} {
			f.Limit = 50
			query, args := f.Query()
			check(index, query, args)
		}
		// Ids sort by time, so a list of what is new begins where it does.
		recent := queue.DeliveryFilter{CreatedAfter: now.Add(-time.Hour), Limit: 50}
		query, args := recent.Query()
		check(map[bool]string{true: "Index Cond: (id >= 'msg_", false: "(id>?)"}[db.Postgres()], query, args)
		for _, owner := range []string{"alice", ""} {
			for query, args := range queue.DeliveryQueries(owner, now) {
				check("deliveries", query, args)
			}
		}
	})
}
