package queue_test

import (
	"fmt"
	"slices"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// A text is found in the input and in the message of the error, in any case and as it is written, and
// only among the owner's newest jobs.
func TestSearchText(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		const rest = `, 'double', 'failed', 1, 2, 3, 1000, '[{}]', '{}', '[]', 1, 0, 0, ''`
		insert := func(columns string) {
			t.Helper()
			_, err := db.Write.ExecContext(t.Context(), `INSERT INTO jobs (id, owner, digest, error, service, status, version, priority, max_attempts,
				timeout, steps, progress, tags, created_at, retain, river_job_id, base_url) SELECT `+columns)
			if err != nil {
				t.Fatal(err)
			}
		}
		insert(`'job_1', 'alice', 'name: Ada, rate: 100%', NULL` + rest)
		insert(`'job_2', 'alice', 'name: under_score', '{"code": "failed", "message": "Disk is full: a\\b", "attempt": 1}'` + rest)
		insert(`'job_0', 'alice', 'who: ÜBER, Émile', NULL` + rest)
		insert(`'job_3', 'bob', 'name: Ada', NULL` + rest)
		find := func(owner, text string) (ids []string) {
			t.Helper()
			found, err := q.List(t.Context(), queue.Filter{Owner: owner, Text: text, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range found {
				ids = append(ids, j.ID)
			}
			n, err := q.CountRetryable(t.Context(), queue.Filter{Owner: owner, Text: text})
			if err != nil || n != len(ids) {
				t.Errorf("%q: %d are counted, %v", text, n, err)
			}
			return ids
		}
		for text, want := range map[string][]string{
			"ada": {"job_1"}, "0%": {"job_1"}, "%": {"job_1"}, "r_s": {"job_2"}, "_": {"job_2"}, "disk IS": {"job_2"}, `a\b`: {"job_2"},
			"über": {"job_0"}, "ÜBER": {"job_0"}, "émile": {"job_0"}, "ÉMILE": {"job_0"}, "code": nil, "attempt": nil, "'; --": nil, "name": {"job_2", "job_1"},
		} {
			if got := find("alice", text); !slices.Equal(got, want) {
				t.Errorf("%q finds %v, want %v", text, got, want)
			}
		}
		if got := find("", "ada"); !slices.Equal(got, []string{"job_3", "job_1"}) {
			t.Errorf("among all jobs: %v", got)
		}
		insert(fmt.Sprintf(`'job_4' || (1000000 + n), 'alice', 'new', NULL%s FROM (WITH RECURSIVE numbers (n) AS
			(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d) SELECT n FROM numbers) s`, rest, queue.MaxSearched-1))
		if got := find("alice", "name"); !slices.Equal(got, []string{"job_2"}) {
			t.Errorf("among the newest %d: %v", queue.MaxSearched, got)
		}
	})
}
