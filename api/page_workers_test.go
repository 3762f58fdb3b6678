package api_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// The system page shows the process and version of each worker and what it runs now: to an admin
// the jobs of all, to others their own.
func TestPageWorkers(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials, queue: func(c *queue.Config) {
			c.Workers, c.Version = 12, "v1.2.3-test"
		}})
		alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
		var ids []string
		for range 11 {
			ids = append(ids, f.submit(t, "hold", `{"input": {}}`, alice).ID)
		}
		ids = append(ids, f.submit(t, "hold", `{"input": {}}`, bob).ID)
		const more = `href="/jobs?status=running"`
		for key, want := range map[string]struct {
			ids  []string
			more bool
		}{alice: {ids[:10], true}, bob: {ids[11:], false}, "Authorization: Bearer " + keys["root"]: {ids[:10], true}} {
			page := f.until(t, "/system", "12 of 12", key).body
			_, workers, _ := strings.Cut(page, `id="workers"`)
			workers, _, _ = strings.Cut(workers, "</section>")
			for _, text := range []string{">" + strconv.Itoa(os.Getpid()) + "<", ">v1.2.3-test<"} {
				if !strings.Contains(workers, text) {
					t.Errorf("no %s in %s", text, workers)
				}
			}
			shown := 0
			for _, id := range ids {
				shown += strings.Count(workers, `href="/jobs/`+id+`"`)
			}
			for _, id := range want.ids {
				link := `href="/jobs/` + id + `" title="` + id + `">hold</a> <span class="soft small">since <time datetime="2`
				if !strings.Contains(workers, link) {
					t.Errorf("%s does not run %s", workers, id)
				}
			}
			if shown != len(want.ids) || strings.Contains(workers, more) != want.more {
				t.Errorf("%d jobs, want %d, more: %v: %s", shown, len(want.ids), want.more, workers)
			}
		}
		close(f.hold)
		page := f.until(t, "/system", "0 of 12", alice).body
		if strings.Contains(page, ids[0]) {
			t.Errorf("a job that ended still runs: %s", page)
		}
	})
}
