package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/counts"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
)

// endedIn returns how many jobs of an owner ended in the periods.
func endedIn(t *testing.T, q *queue.Queue, owner string, length time.Duration, n int) (sum counts.Period) {
	t.Helper()
	periods, err := q.History(t.Context(), owner, length, n)
	if err != nil {
		t.Fatal(err)
	}
	if len(periods) != n || periods[n-1].Start.Add(length).Before(time.Now()) || periods[0].Start.After(time.Now()) {
		t.Errorf("%d periods of %s from %s", len(periods), length, periods[0].Start)
	}
	for _, p := range periods {
		sum.Succeeded, sum.Failed, sum.Canceled = sum.Succeeded+p.Succeeded, sum.Failed+p.Failed, sum.Canceled+p.Canceled
	}
	return sum
}

// An owner sees their own jobs only, and an admin those of all.
func TestOverview(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		q, _ := newQueue(t, db, services, func(c *queue.Config) { c.Workers = 1 })
		for range 2 {
			finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
		}
		failed := finished(t, q, submit(t, q, jobs.Submission{Service: "permanent"}).ID)
		finished(t, q, submit(t, q, jobs.Submission{Service: "double", Owner: "bob"}).ID)
		running := submit(t, q, jobs.Submission{Service: "hold"})
		<-services.started
		waiting := submit(t, q, jobs.Submission{Service: "double"})
		submit(t, q, jobs.Submission{Service: "double"})
		bobs := submit(t, q, jobs.Submission{Service: "double", Owner: "bob"})
		if _, err := q.Cancel(t.Context(), bobs.ID, ""); err != nil {
			t.Fatal(err)
		}
		all := counts.Period{Succeeded: 3, Failed: 1, Canceled: 1}
		await(t, "counts", func() bool { return endedIn(t, q, "", time.Minute, 60) == all })
		for owner, want := range map[string]counts.Period{"": all, "alice": {Succeeded: 2, Failed: 1}, "bob": {Succeeded: 1, Canceled: 1}, "carol": {}} {
			for length, n := range map[time.Duration]int{time.Minute: 60, time.Hour: 24, 6 * time.Hour: 28} {
				if got := endedIn(t, q, owner, length, n); got != want {
					t.Errorf("%q, in %d times %s: %+v, want %+v", owner, n, length, got, want)
				}
			}
		}

		o, err := q.Overview(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if o.Counts[jobs.Succeeded] != 2 || o.Counts[jobs.Failed] != 1 || o.Counts[jobs.Running] != 1 || o.Counts[jobs.Queued] != 2 || o.Counts[jobs.Canceled] != 0 || o.Sampled {
			t.Errorf("counts %v", o.Counts)
		}
		if len(o.Running) != 1 || o.Running[0].ID != running.ID || len(o.Failures) != 1 || o.Failures[0].ID != failed.ID || o.Failures[0].Error.Code != "failed" {
			t.Errorf("running %+v, failures %+v", o.Running, o.Failures)
		}
		var got []string
		for _, s := range o.Services {
			got = append(got, fmt.Sprintf("%s: %d queued, %d running, %d of %d failed, %d ran", s.Service, s.Queued, s.Running, s.Failed, s.Ended, s.Ran))
			if oldest := s.Oldest; s.Service == "double" && (oldest == nil || !oldest.Equal(waiting.CreatedAt.Time)) {
				t.Errorf("oldest %v, want %v", oldest, waiting.CreatedAt)
			}
		}
		if want := "double: 2 queued, 0 running, 0 of 2 failed, 2 ran; hold: 0 queued, 1 running, 0 of 0 failed, 0 ran; permanent: 0 queued, 0 running, 1 of 1 failed, 1 ran"; strings.Join(got, "; ") != want {
			t.Errorf("services %s, want %s", strings.Join(got, "; "), want)
		}
		if o, err := q.Overview(t.Context(), "carol"); err != nil || len(o.Running)+len(o.Failures)+len(o.Services) > 0 || o.Counts[jobs.Succeeded] != 0 {
			t.Errorf("carol sees %+v, %v", o, err)
		}
		if o, err := q.Overview(t.Context(), ""); err != nil || o.Counts[jobs.Succeeded] != 3 || o.Counts[jobs.Canceled] != 1 || len(o.Services) != 3 {
			t.Errorf("an admin sees %+v, %v", o, err)
		}
	})
}

// insertCounts inserts counts as another process would.
func insertCounts(t *testing.T, db *store.DB, service string, span time.Duration, start time.Time, counts map[string]int64) {
	t.Helper()
	names := []string{"succeeded", "failed", "canceled", "expired", "run_time", "ran_10ms", "ran_30ms", "ran_100ms", "ran_300ms", "ran_1s", "ran_3s", "ran_10s", "ran_30s", "ran_2m", "ran_10m", "ran_1h", "ran_longer"}
	values := []string{fmt.Sprintf("'alice', %d, %d, '%s', 'another'", span.Milliseconds(), start.UnixMilli(), service)}
	for _, name := range names {
		values = append(values, strconv.FormatInt(counts[name], 10))
	}
	if _, err := db.Write.ExecContext(t.Context(), `INSERT INTO job_counts (owner, span, start_at, service, worker_id, `+strings.Join(names, ", ")+`) VALUES (`+strings.Join(values, ", ")+`)`); err != nil {
		t.Fatal(err)
	}
}

// Run times are estimated from the counts of all processes.
func TestOverviewRunTimes(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), nil)
		now := time.Now().Truncate(time.Minute)
		insertCounts(t, db, "mixed", time.Minute, now, map[string]int64{"succeeded": 10, "ran_1s": 10, "run_time": 6_000})
		insertCounts(t, db, "mixed", time.Minute, now.Add(-30*time.Minute), map[string]int64{"succeeded": 8, "expired": 2, "ran_10s": 10, "run_time": 70_000})
		insertCounts(t, db, "mixed", time.Minute, now.Add(-61*time.Minute), map[string]int64{"succeeded": 1000, "ran_10ms": 1000, "run_time": 10})
		insertCounts(t, db, "once", time.Minute, now, map[string]int64{"failed": 1, "ran_3s": 1, "run_time": 1_234})
		insertCounts(t, db, "slow", time.Minute, now, map[string]int64{"succeeded": 2, "ran_longer": 2, "run_time": 4 * 3600_000})
		insertCounts(t, db, "never", time.Minute, now, map[string]int64{"canceled": 3})
		o, err := q.Overview(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]queue.ServiceOverview{
			"mixed": {Ended: 20, Failed: 2, Ran: 20, Run: queue.Percentiles{time.Second, 9300 * time.Millisecond, 10 * time.Second}},
			"once":  {Ended: 1, Failed: 1, Ran: 1, Run: queue.Percentiles{1234 * time.Millisecond, 1234 * time.Millisecond, 1234 * time.Millisecond}},
			"slow":  {Ended: 2, Ran: 2, Run: queue.Percentiles{2 * time.Hour, 2 * time.Hour, 2 * time.Hour}},
			"never": {Ended: 3},
		}
		if len(o.Services) != len(want) {
			t.Errorf("services %+v", o.Services)
		}
		for _, got := range o.Services {
			want := want[got.Service]
			want.Service = got.Service
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
	})
}

// Counts survive a stop and are added to those of other processes. What can't be saved is
// saved later.
func TestCountsAreSaved(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		for range 2 { // one process after the other
			q, _ := newQueue(t, db, newServices(), nil)
			finished(t, q, submit(t, q, jobs.Submission{Service: "double"}).ID)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := q.Stop(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		q, _ := newQueue(t, db, newServices(), nil)
		if got := endedIn(t, q, "alice", time.Minute, 60); got.Succeeded != 2 {
			t.Errorf("after the stop: %+v", got)
		}
		rename := func(from, to string) {
			t.Helper()
			if _, err := db.Write.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("job_counts", "elsewhere")
		finished(t, q, submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n":2}`)}).ID)
		time.Sleep(counts.SaveInterval * 3 / 2) // until it was tried
		rename("elsewhere", "job_counts")
		await(t, "the counts", func() bool { return endedIn(t, q, "alice", time.Hour, 24).Succeeded == 3 })
	})
}

// Old counts are deleted, those of minutes sooner than those of hours.
func TestCountsAreDeleted(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		now := time.Now()
		for _, ago := range []time.Duration{time.Hour, 3 * time.Hour, 7 * 24 * time.Hour, 9 * 24 * time.Hour} {
			insertCounts(t, db, "double", time.Minute, now.Add(-ago), map[string]int64{"failed": 1})
			insertCounts(t, db, "double", time.Hour, now.Add(-ago), map[string]int64{"failed": 1})
		}
		newQueue(t, db, newServices(), nil)
		count := func(span time.Duration) (n int) {
			t.Helper()
			if err := db.Read.QueryRowContext(t.Context(), `SELECT count(*) FROM job_counts WHERE span = $1`, span.Milliseconds()).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		await(t, "deletion", func() bool { return count(time.Minute) == 1 && count(time.Hour) == 3 })
		time.Sleep(1500 * time.Millisecond) // another round
		if minutes, hours := count(time.Minute), count(time.Hour); minutes != 1 || hours != 3 {
			t.Errorf("%d minutes and %d hours are left", minutes, hours)
		}
	})
}
