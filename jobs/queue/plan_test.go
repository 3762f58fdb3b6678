package queue_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// Lists of what is rare read what they show, and neither the table nor all of
// an owner's jobs.
func TestListPlans(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		count, explain := 200_000, "EXPLAIN QUERY PLAN "
		switch {
		case db.Postgres():
			explain = "EXPLAIN "
		case jobstest.Race:
			count = 2_000
		}
		numbers := fmt.Sprintf(`(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d) SELECT n FROM numbers) s`, count)
		for _, stmt := range []string{
			`INSERT INTO jobs (id, owner, service, status, version, priority, max_attempts, timeout, steps, progress, tags, created_at, finished_at, retain, river_job_id, base_url)
				SELECT 'job_' || (1000000 + n), CASE WHEN n % 2 = 0 THEN 'alice' ELSE 'bob' END, CASE WHEN n % 1000 = 2 THEN 'rare' ELSE 'common' END,
					CASE WHEN n % 1000 = 4 THEN 'failed' ELSE 'succeeded' END, 1, 2, 3, 1000, '[{}]', '{}', '[]', n, n, 0, 0, '' FROM ` + numbers,
			`INSERT INTO job_tags (owner, tag, job_id) SELECT 'alice', 'rare', 'job_' || (1000000 + n) FROM ` + numbers + ` WHERE n % 1000 = 6`,
			`ANALYZE`,
		} {
			if _, err := db.Write.ExecContext(t.Context(), stmt); err != nil {
				t.Fatal(err)
			}
		}
		for index, f := range map[string]queue.Filter{
			"jobs_owner_service": {Owner: "alice", Service: "rare"}, "jobs_owner_status": {Owner: "alice", Statuses: []jobs.Status{jobs.Failed}},
			"jobs_status": {Statuses: []jobs.Status{jobs.Failed}}, "job_tags": {Owner: "alice", Tag: "rare"},
		} {
			f.Limit = 50
			query, args := f.Query()
			plan := explained(t, db.Write, explain+query, args)
			if !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "TEMP B-TREE") {
				t.Errorf("%+v does not go by %s:\n%s", f, index, plan)
			}
		}
		// So does the overview, for one owner and for all. What it counts or groups is limited.
		for _, owner := range []string{"alice", ""} {
			for query, args := range queue.OverviewQueries(owner, time.UnixMilli(int64(count-100))) {
				plan := explained(t, db.Write, explain+query, args)
				bad := []string{"Seq Scan on jobs", "SCAN jobs", "ORDER BY", "jobs_pkey", "jobs_owner "}
				if slices.ContainsFunc(bad, func(s string) bool { return strings.Contains(plan, s) }) {
					t.Errorf("%s\n%s", query, plan)
				}
				if strings.Contains(query, "ORDER BY finished_at") && !strings.Contains(plan, "jobs_failures") {
					t.Errorf("failures do not go by their index:\n%s", plan)
				}
			}
		}
		// What the workers run goes by its index too, or by the status.
		for _, owner := range []string{"alice", ""} {
			query, args := queue.RunningQuery(owner)
			plan := explained(t, db.Write, explain+query, args)
			byIndex := []string{"jobs_running", "jobs_status", "jobs_owner_status"}
			if !slices.ContainsFunc(byIndex, func(s string) bool { return strings.Contains(plan, s) }) {
				t.Errorf("%s\n%s", query, plan)
			}
		}
	})
}

// The plans for callbacks that PostgreSQL makes while there are none are as good as
// they can be when there are many: they go by keys.
func TestCallbackPlans(t *testing.T) {
	db := jobstest.Open(t, jobstest.PostgresURL(t))
	conn, err := db.Keyed.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for types, statement := range queue.CallbackStatements() {
		if _, err := conn.ExecContext(t.Context(), `PREPARE callbacks (`+types+`) AS `+statement); err != nil {
			t.Fatal(err)
		}
		nulls := strings.TrimSuffix(strings.Repeat("NULL, ", strings.Count(types, ",")+1), ", ")
		plan := explained(t, conn, `EXPLAIN EXECUTE callbacks(`+nulls+`)`, nil)
		for line := range strings.Lines(plan) {
			if _, index, ok := strings.Cut(line, " using deliveries_"); ok && !strings.HasPrefix(index, "pkey") && !strings.HasPrefix(index, "due") && !strings.HasPrefix(index, "job") || strings.Contains(line, "Seq Scan") {
				t.Errorf("%s\n%s", statement, plan)
			}
		}
		if !strings.Contains(plan, "Index Cond") || strings.Contains(plan, "Filter: (status = 'pending'::text)") {
			t.Errorf("reads all that are pending: %s\n%s", statement, plan)
		}
		if _, err := conn.ExecContext(t.Context(), `DEALLOCATE callbacks`); err != nil {
			t.Fatal(err)
		}
	}
}

// explained returns the plan of a query, a line for each step.
func explained(t *testing.T, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, query string, args []any,
) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&plan, *values[len(values)-1].(*any))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
