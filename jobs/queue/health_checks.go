package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// clockJump is the tolerated deviation of a clock. Timers and times of jobs are off by as much.
	clockJump = 2 * time.Second
	// jumpShown is how long a jump of the clock is reported.
	jumpShown = time.Minute
)

// A clock detects jumps of this machine's clock with the monotonic clock. It is used only by the
// loop of checkDatabase.
type clock struct {
	last   time.Time
	jumped time.Time
	by     time.Duration
}

// tick returns by how much the clock jumped in the last minute.
func (c *clock) tick(now time.Time) time.Duration {
	if !c.last.IsZero() {
		elapsed := now.Sub(c.last) // monotonic
		if by := now.Round(0).Sub(c.last.Round(0)) - elapsed; by.Abs() > clockJump {
			c.jumped, c.by = now, by
		}
	}
	c.last = now
	if c.by != 0 && now.Sub(c.jumped) > jumpShown {
		c.by = 0
	}
	return c.by
}

// checkClock compares this machine's clock with the database's time, which was read between before
// and after.
func (q *Queue) checkClock(ctx context.Context, database, before, after time.Time) {
	by := q.clock.tick(after)
	off := before.Round(0).Sub(database)
	if after.Round(0).Before(database) {
		off = after.Round(0).Sub(database)
	} else if off < 0 {
		off = 0
	}
	switch {
	case off.Abs() > clockJump:
		q.health.set(ctx, "clock", Warning, fmt.Sprintf("this machine's clock is %s off the database's: delayed jobs start at the wrong time; let NTP set both", off.Round(time.Millisecond)))
	case by != 0:
		q.health.set(ctx, "clock", Warning, fmt.Sprintf("this machine's clock jumped by %s: delayed jobs may start at the wrong time; let NTP set it", by.Round(time.Millisecond)))
	default:
		q.health.set(ctx, "clock", OK, "")
	}
}

// stuckAfter is how long the commit of one batch, which normally takes milliseconds, may take
// before the database counts as failing.
const stuckAfter = 3 * time.Second

// stuck is the problem of a database that does not finish a commit.
const stuck = "the database does not finish a change: look for locks, and at its disk and its load"

// commitAge returns how long the current batch has been committing; 0 if there is none.
func (c *committer) commitAge() time.Duration {
	if c == nil {
		return 0 // the queue has not been started
	}
	since := c.since.Load()
	if since == nil {
		return 0
	}
	return time.Since(*since)
}

// A head is the River job that is next in the queue, and since when.
type head struct {
	id    int64
	since time.Time
}

// queueInterval is how often the head of the queue is checked.
const queueInterval = time.Second

// checkQueue checks whether jobs wait although a worker is idle or missing.
func (q *Queue) checkQueue(ctx context.Context) error {
	var id int64
	var kind string
	err := q.db.Read.QueryRowContext(ctx, `SELECT id, kind FROM river_job WHERE state = 'available' AND queue = '`+jobQueue+`' ORDER BY priority, scheduled_at, id LIMIT 1`).Scan(&id, &kind)
	if errors.Is(err, sql.ErrNoRows) {
		q.head = head{}
		q.health.set(ctx, "queue", OK, "")
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the queue: %w", err)
	}
	now := time.Now()
	if q.head.id != id || now.Sub(q.headChecked) > 2*queueInterval {
		q.head = head{id, now}
	}
	q.headChecked = now
	waited := now.Sub(q.head.since)
	if waited < q.StuckAfter {
		if waited == 0 {
			q.health.set(ctx, "queue", OK, "")
		}
		return nil
	}
	var slots, running int64
	if err := q.db.Read.QueryRowContext(ctx, `SELECT (SELECT COALESCE(sum(concurrency), 0) FROM workers), (SELECT count(*) FROM jobs WHERE status = 'running')`).Scan(&slots, &running); err != nil {
		return fmt.Errorf("check the queue: %w", err)
	}
	if !q.db.Postgres() {
		slots = int64(q.Workers)
	}
	switch service := kind[len(runArgs{}.Kind()):]; {
	case slots == 0:
		q.health.set(ctx, "queue", Warning,
			fmt.Sprintf("jobs wait and nobody runs them, for %s: start a worker", waited.Round(time.Second)),
			"service", service)
	case running < slots:
		q.health.set(ctx, "queue", Warning, fmt.Sprintf("a job waits for %s although workers are idle: start a worker that has its service, which the log names, or restart the workers", waited.Round(time.Second)), "service", service)
	default:
		q.health.set(ctx, "queue", OK, "") // all slots are busy
	}
	return nil
}

// checkSlots checks for abandoned services.
func (q *Queue) checkSlots(ctx context.Context) error {
	if unresponsive := q.counters.unresponsive.Load(); unresponsive == 0 {
		q.health.set(ctx, "runs", OK, "")
	} else {
		q.health.set(ctx, "runs", Warning, fmt.Sprintf("%d runs did not stop when told to and were left behind, of %d slots: look for \"does not stop\" in the log, and start the process anew when it is convenient", unresponsive, q.Workers))
	}
	return nil
}

const (
	// filesInterval is how often the store of files is checked.
	filesInterval = 10 * time.Second
	// filesWarning is the percentage of their maximum size from which the files are reported.
	filesWarning = 95
)

// checkFiles checks whether files can be stored, and whether there is room for more.
func (q *Queue) checkFiles(ctx context.Context) error {
	if err := q.Files.Check(ctx); err != nil {
		q.health.set(ctx, "files", Warning,
			"files can't be stored or read: jobs with files fail or are refused; look at the disk, or at the S3 store",
			"err", err)
		return nil
	}
	used, limit := q.Files.Used()
	if percent := used / max(limit/100, 1); percent >= filesWarning {
		q.health.set(ctx, "files", Warning, fmt.Sprintf(
			"the files of all jobs take %d%% of their maximum size: raise files.max_total, or keep records for a shorter time (retain)", percent))
		return nil
	}
	q.health.set(ctx, "files", OK, "")
	return nil
}
