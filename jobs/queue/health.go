package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coatcheck/jobs/store"
)

// A Check is the result of a health check when it last ran.
type Check struct {
	Name   string      `json:"name" enum:"database,events,queue,runs,clock,files"`
	Status string      `json:"status" enum:"ok,warning,failing" doc:"failing: jobs are refused until it is over."`
	Detail string      `json:"detail,omitempty" doc:"What is wrong, and what to do."`
	Since  *store.Time `json:"since,omitempty" format:"date-time" doc:"When it was first seen."`
}

// The statuses of a check.
const (
	OK      = "ok"
	Warning = "warning"
	Failing = "failing"
)

// health stores the results of the health checks. It logs each change once.
type health struct {
	logger *slog.Logger

	mu     sync.Mutex // guards the fields below
	checks map[string]Check
	logged map[string]bool // causes that were logged since the last status change
}

func newHealth(logger *slog.Logger, files bool) *health {
	h := &health{logger: logger, checks: make(map[string]Check), logged: make(map[string]bool)}
	names := []string{"database", "queue", "runs", "clock"}
	if files {
		names = append(names, "files")
	}
	for _, name := range names {
		h.checks[name] = Check{Name: name, Status: OK}
	}
	return h
}

// set stores the result of a check; an empty detail means OK. Anyone may read the detail, so names,
// addresses and error texts go only to the log, as args.
func (h *health) set(ctx context.Context, name, status, detail string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.checks[name]
	if before.Status == status {
		if status != OK {
			if cause := name + ": " + detail; len(args) > 0 && !h.logged[cause] {
				h.logged[cause] = true
				h.logger.ErrorContext(ctx, "health, another cause",
					append([]any{"check", name, "detail", detail}, args...)...)
			}
			before.Detail = detail
			h.checks[name] = before
		}
		return
	}
	h.logged = map[string]bool{name + ": " + detail: true}
	now := store.At(time.Now())
	check := Check{Name: name, Status: status, Detail: detail, Since: &now}
	if status == OK {
		check.Since = nil
		h.logger.InfoContext(ctx, "health",
			"check", name, "status", status, "lasted", time.Since(before.Since.Time).Round(time.Millisecond).String())
	} else {
		h.logger.ErrorContext(ctx, "health",
			append([]any{"check", name, "status", status, "detail", detail}, args...)...)
	}
	h.checks[name] = check
}

// failing reports whether the database is unusable.
func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.checks["database"].Status == Failing
}

// Health returns the results of the last health checks, which run about once a second.
func (q *Queue) Health() []Check {
	q.health.mu.Lock()
	defer q.health.mu.Unlock()
	var checks []Check
	for _, check := range q.health.checks {
		checks = append(checks, check)
	}
	slices.SortFunc(checks, func(a, b Check) int { return cmp.Compare(a.Name, b.Name) })
	return checks
}

// Counters count failures in this process since it started.
type Counters struct {
	Recovered    int64 // jobs recovered from lost runs
	Abandoned    int64 // runs that were abandoned because they did not stop
	Unresponsive int64 // abandoned runs that have not returned yet
}

type counters struct{ recovered, abandoned, unresponsive atomic.Int64 }

// Counters returns the counts of failures in this process since it started.
func (q *Queue) Counters() Counters {
	return Counters{
		Recovered: q.counters.recovered.Load(), Abandoned: q.counters.abandoned.Load(),
		Unresponsive: q.counters.unresponsive.Load(),
	}
}

// Unavailable reports whether err is caused by the state of the database, so that the same
// operation may succeed later.
func Unavailable(err error) bool { return errors.Is(err, errClosed) || store.Problem(err) != "" }

// noteDatabase updates the database health check with the error of a database call. It reports
// whether the error concerns the state of the database.
func (q *Queue) noteDatabase(ctx context.Context, err error) bool {
	what := store.Problem(err)
	if what == store.ReadOnly {
		q.db.Renew()
	}
	if what == "" || what == store.Slow || errors.Is(err, store.ErrUnavailable) {
		return Unavailable(err) // one slow call does not mean that the database is slow
	}
	q.health.set(ctx, "database", Failing, what, "err", err)
	return true
}

// checkDatabase reads the database's clock. If the database was failing, it also checks that writes
// succeed.
func (q *Queue) checkDatabase(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	var ms int64
	before := time.Now()
	err := q.db.Keyed.QueryRowContext(ctx, `SELECT `+q.db.Now()).Scan(&ms)
	what := cmp.Or(store.Problem(err), store.Unknown)
	if waited := q.committer.commitAge(); err == nil && waited > stuckAfter {
		err, what = fmt.Errorf("a change has waited for the database for %s", waited), stuck
	}
	if err == nil && q.health.failing() {
		err = q.probe(ctx)
		what = cmp.Or(store.Problem(err), store.Unknown)
	}
	if err != nil {
		q.db.Renew()
		q.health.set(ctx, "database", Failing, what, "err", err)
		return nil
	}
	q.health.set(ctx, "database", OK, "")
	q.checkClock(ctx, time.UnixMilli(ms), before, time.Now())
	return nil
}

// databaseFailing reports whether the database is unusable. An error that River logs may be the
// first sign of this, so the database is checked now unless it is failing already.
func (q *Queue) databaseFailing(ctx context.Context) bool {
	if q.health.failing() {
		return true
	}
	err := q.checkDatabase(context.WithoutCancel(ctx))
	return err != nil || q.health.failing()
}

// probe writes a row and deletes it in the same transaction.
func (q *Queue) probe(ctx context.Context) error {
	tx, err := q.db.Heartbeats.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	// Large, so that it fails on a full disk where a job would fail.
	if _, err := tx.ExecContext(ctx,
		`INSERT INTO workers (id, host, concurrency, started_at, beat_at) VALUES ($1, $2, 0, 0, 0)`,
		"probe "+q.workerID, strings.Repeat("x", 64<<10)); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, "probe "+q.workerID); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
