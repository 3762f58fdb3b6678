package counts

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	// SaveInterval is how often a process saves its tally.
	SaveInterval = 2 * time.Second
	// MinuteAge is how long the counts of minutes are kept.
	MinuteAge = 2 * time.Hour
	// HourAge is how long the counts of hours are kept.
	HourAge = 8 * 24 * time.Hour
)

// A Tally counts the jobs that end in this process until the counts are added to the table
// job_counts. Counting in the transaction that ends a job would slow down every job. The price is
// that a process that dies loses the counts of its last seconds: they are statistics, and nothing
// else depends on them.
type Tally struct {
	mu     sync.Mutex
	counts map[tallyKey]tallyCount
}

// A tallyKey identifies what is counted together.
type tallyKey struct {
	span           time.Duration // a minute or an hour
	start          time.Time
	owner, service string
}

// A tallyCount is a number of ended jobs.
type tallyCount struct {
	ended   [len(tallyStatuses)]int64
	runTime time.Duration // sum
	runs    runTimes
}

// tallyStatuses are the final statuses, which are also the names of their columns.
var tallyStatuses = [...]jobs.Status{jobs.Succeeded, jobs.Failed, jobs.Canceled, jobs.Expired}

// Ended counts a job that has ended.
func (t *Tally) Ended(j *jobs.Job) {
	var c tallyCount
	for i, status := range tallyStatuses {
		if j.Status == status {
			c.ended[i] = 1
		}
	}
	if j.StartedAt != nil {
		c.runTime = max(0, j.FinishedAt.Sub(j.StartedAt.Time))
		c.runs.add(c.runTime)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, span := range []time.Duration{time.Minute, time.Hour} {
		t.add(tallyKey{span, j.FinishedAt.Truncate(span), j.Owner, j.Service}, c)
	}
}

// add adds a count. t.mu must be held.
func (t *Tally) add(key tallyKey, c tallyCount) {
	sum := t.counts[key]
	for i := range c.ended {
		sum.ended[i] += c.ended[i]
	}
	for i := range c.runs {
		sum.runs[i] += c.runs[i]
	}
	sum.runTime += c.runTime
	if t.counts == nil {
		t.counts = make(map[tallyKey]tallyCount)
	}
	t.counts[key] = sum
}

// take returns the counts and begins again with none.
func (t *Tally) take() map[tallyKey]tallyCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}

// restore adds counts that could not be saved.
func (t *Tally) restore(counts map[tallyKey]tallyCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, c := range counts {
		t.add(key, c)
	}
}

// A tallyRow is a row of job_counts.
type tallyRow struct {
	tallyKey
	tallyCount
	worker string
}

var tallyWriter = newTallyWriter()

// newTallyWriter returns a writer that adds to the rows of job_counts.
func newTallyWriter() *store.Writer[tallyRow] {
	columns := []store.Column[tallyRow]{
		store.TextColumn("owner", func(r tallyRow) any { return r.owner }),
		store.BigintColumn("span", func(r tallyRow) any { return r.span.Milliseconds() }),
		store.BigintColumn("start_at", func(r tallyRow) any { return store.At(r.start) }),
		store.TextColumn("service", func(r tallyRow) any { return r.service }),
		store.TextColumn("worker_id", func(r tallyRow) any { return r.worker }),
	}
	var sums []string
	sum := func(name string, of func(tallyRow) any) {
		columns = append(columns, store.BigintColumn(name, of))
		sums = append(sums, fmt.Sprintf("%s = job_counts.%[1]s + excluded.%[1]s", name))
	}
	for i, status := range tallyStatuses {
		sum(string(status), func(r tallyRow) any { return r.ended[i] })
	}
	sum("run_time", func(r tallyRow) any { return r.runTime.Milliseconds() })
	for i, name := range runColumns {
		sum(name, func(r tallyRow) any { return r.runs[i] })
	}
	return store.NewInserter("job_counts",
		"ON CONFLICT (owner, span, start_at, service, worker_id) DO UPDATE SET "+strings.Join(sums, ", "), columns...)
}

// Save adds the counts since the last call to the table, in the rows of a worker. Counts that could not be saved are
// saved with the next ones; they are counted twice if the failed commit was made after all.
func (t *Tally) Save(ctx context.Context, db *store.DB, worker string) error {
	counts := t.take()
	if len(counts) == 0 {
		return nil
	}
	rows := make([]tallyRow, 0, len(counts))
	for key, count := range counts {
		rows = append(rows, tallyRow{key, count, worker})
	}
	err := addRows(ctx, db, rows)
	if err != nil {
		t.restore(counts)
	}
	return err
}

// addRows adds rows to job_counts in one transaction.
func addRows(ctx context.Context, db *store.DB, rows []tallyRow) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if _, err := tallyWriter.Write(ctx, tx, rows); err != nil {
		return fmt.Errorf("save counts: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
