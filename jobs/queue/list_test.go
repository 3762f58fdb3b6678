package queue_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// A list does not read outputs (nor those of intermediate steps), inputs and
// histories, and says which jobs have an output.
func TestListOfLargeJobs(t *testing.T) { // not parallel: it measures allocations
	const count, size = 20, 1 << 20
	for name, open := range map[string]func(t *testing.T) *store.DB{
		"sqlite":   func(t *testing.T) *store.DB { t.Helper(); return jobstest.SQLite(t) },
		"postgres": func(t *testing.T) *store.DB { t.Helper(); return jobstest.Open(t, jobstest.PostgresURL(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
			large := strings.Repeat("x", size)
			steps := fmt.Sprintf(`[{"service":"double","input":{"n":"%s"},"output":"%s"},{"service":"double","input":{}}]`, large, large)
			history := fmt.Sprintf(`[{"number":1,"error":{"message":"%s"}}]`, large)
			for i := range count {
				job := submit(t, q, jobs.Submission{Service: "double", Then: []jobs.NextStep{{Service: "double", Input: json.RawMessage(`{}`)}}})
				output := any(`"` + large + `"`)
				if i == 0 {
					output = nil
				}
				if _, err := db.Write.ExecContext(t.Context(), `UPDATE jobs SET output = $1, steps = $2, history = $3, status = 'succeeded', version = version + 1 WHERE id = $4`, output, steps, history, job.ID); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			list, err := q.List(t.Context(), queue.Filter{Owner: "alice", Limit: count})
			runtime.ReadMemStats(&after)
			if err != nil || len(list) != count {
				t.Fatalf("%d jobs, %v", len(list), err)
			}
			if bytes := after.TotalAlloc - before.TotalAlloc; bytes > size {
				t.Errorf("the list allocated %d bytes", bytes)
			}
			for i, job := range list {
				if oldest := i == count-1; job.Output != nil || job.Input != nil || len(job.Chain) > 0 || len(job.History) > 0 || job.Steps != 2 || job.OutputOmitted == oldest {
					t.Errorf("job %d: %d steps, output omitted: %t, input of %d bytes", i, job.Steps, job.OutputOmitted, len(job.Input))
				}
			}
			// Large jobs are changed in portions.
			var ids []string
			for _, job := range list {
				ids = append(ids, slices.Repeat([]string{job.ID}, 2)...)
			}
			portions, err := q.MemoryBatches(t.Context(), ids)
			if err != nil || len(portions) != 2 || !slices.Equal(slices.Concat(portions...), ids) || len(portions[0]) < 20 || len(portions[0]) > 22 {
				t.Errorf("%d portions of %d jobs, %v", len(portions), len(ids), err)
			}
			job, err := q.Get(t.Context(), list[0].ID)
			if err != nil || job.Output != nil || !job.OutputOmitted || job.Steps != 2 || len(job.Chain) != 2 {
				t.Errorf("the whole job has an output of %d bytes, %v", len(job.Output), err)
			}
			if output, err := q.Output(t.Context(), job.ID); err != nil || len(output) != size+2 {
				t.Errorf("an output of %d bytes, %v", len(output), err)
			}
		})
	}
}
