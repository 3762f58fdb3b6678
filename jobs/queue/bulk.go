package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	// MaxBulk is the maximum number of jobs that one [Queue.CancelAll] or [Queue.RetryAll] changes.
	MaxBulk = 10_000
	// bulkCallers is how many changes are submitted concurrently. It is large enough that they
	// share commits, and small enough to leave room in a batch for other callers.
	bulkCallers = 64
)

// cancelable restricts the filter to jobs that can be canceled. It reports false if no job can
// match.
func (f Filter) cancelable() (Filter, bool) {
	return f.withStatuses(jobs.Scheduled, jobs.Queued, jobs.Running, jobs.Retrying)
}

// retryable restricts the filter to jobs that did not succeed and have not been run again, so that
// a repeated call does no harm. It reports false if no job can match.
func (f Filter) retryable() (Filter, bool) {
	f.notRetried = true
	return f.withStatuses(jobs.Failed, jobs.Canceled, jobs.Expired)
}

func (f Filter) withStatuses(statuses ...jobs.Status) (Filter, bool) {
	if len(f.Statuses) == 0 {
		f.Statuses = statuses
		return f, true
	}
	f.Statuses = slices.DeleteFunc(slices.Clone(f.Statuses),
		func(s jobs.Status) bool { return !slices.Contains(statuses, s) })
	return f, len(f.Statuses) > 0
}

// CountCancelable counts the jobs that [Queue.CancelAll] would cancel.
func (q *Queue) CountCancelable(ctx context.Context, f Filter) (int, error) {
	f, some := f.cancelable()
	return q.countAll(ctx, f, some)
}

// CountRetryable counts the jobs that [Queue.RetryAll] would retry.
func (q *Queue) CountRetryable(ctx context.Context, f Filter) (int, error) {
	f, some := f.retryable()
	return q.countAll(ctx, f, some)
}

func (q *Queue) countAll(ctx context.Context, f Filter, some bool) (n int, err error) {
	if !some {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	if f, err = q.bounded(ctx, f); err != nil {
		return 0, err
	}
	where, args := f.where()
	if err := q.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM jobs`+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	return n, nil
}

// CountDeliveries counts the deliveries that match the filter.
func (q *Queue) CountDeliveries(ctx context.Context, f DeliveryFilter) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	if f, err = q.boundedDeliveries(ctx, f); err != nil {
		return 0, err
	}
	where, args := f.where()
	if err := q.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM deliveries`+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	return n, nil
}

// CancelAll cancels the newest [MaxBulk] jobs that match the filter, and returns how many it
// canceled.
func (q *Queue) CancelAll(ctx context.Context, f Filter, reason string) (int, error) {
	f, some := f.cancelable()
	return q.changeAll(ctx, f, some, func(ctx context.Context, id string) error {
		_, err := q.Cancel(ctx, id, reason)
		return err
	})
}

// RetryAll runs the newest [MaxBulk] jobs that match the filter again (see [jobs.Job.Again]), and
// returns how many. It skips jobs that succeeded, that were run again before, or that have a
// service for which mayRun returns false.
func (q *Queue) RetryAll(ctx context.Context, f Filter, baseURL string, mayRun func(service string) bool) (int, error) {
	f, some := f.retryable()
	return q.changeAll(ctx, f, some, func(ctx context.Context, id string) error {
		job, err := q.Get(ctx, id)
		if err != nil {
			return err
		}
		submission, err := job.Again(baseURL, "")
		switch {
		case err != nil:
			return err
		case !all(submission.Services(), mayRun):
			return errNotAllowed
		}
		_, _, err = q.Submit(ctx, submission)
		return err
	})
}

// errNotAllowed means that the caller may not change the job, which is then skipped.
var errNotAllowed = errors.New("not allowed")

func all[T any](list []T, is func(T) bool) bool {
	return !slices.ContainsFunc(list, func(v T) bool { return !is(v) })
}

func (q *Queue) changeAll(
	ctx context.Context, f Filter, some bool, change func(context.Context, string) error,
) (int, error) {
	if !some {
		return 0, nil
	}
	ids, err := q.matching(ctx, f)
	if err != nil {
		return 0, err
	}
	batches, err := q.memoryBatches(ctx, ids)
	if err != nil {
		return 0, err
	}
	n, errs := 0, []error(nil)
	for _, batch := range batches {
		changed, failed := changeEach(ctx, batch, bulkCallers, change)
		n, errs = n+changed, append(errs, failed...)
	}
	return n, errors.Join(errs[:min(len(errs), 3)]...)
}

// changeEach calls change for each job, with up to callers concurrent calls. It returns how many
// jobs were changed, and the unexpected errors.
func changeEach(
	ctx context.Context, ids []string, callers int, change func(context.Context, string) error,
) (n int, errs []error) {
	var mu sync.Mutex
	next := make(chan string)
	var wg sync.WaitGroup
	for range min(callers, len(ids)) {
		wg.Go(func() {
			for id := range next {
				err := change(ctx, id)
				mu.Lock()
				switch {
				case err == nil:
					n++
				case !errors.Is(err, jobs.ErrFinished) && !errors.Is(err, jobs.ErrNotFinished) && !errors.Is(err, jobs.ErrRemoved) &&
					!errors.Is(err, jobs.ErrNotFound) && !errors.Is(err, errNotAllowed):
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for _, id := range ids {
		next <- id
	}
	close(next)
	wg.Wait()
	return n, errs
}

// matching returns the ids of the newest [MaxBulk] jobs that match the filter.
func (q *Queue) matching(ctx context.Context, f Filter) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	f, err := q.bounded(ctx, f)
	if err != nil {
		return nil, err
	}
	where, args := f.where()
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id FROM jobs`+where+fmt.Sprintf(` ORDER BY id DESC LIMIT %d`, MaxBulk), args...)
	if err != nil {
		return nil, fmt.Errorf("select jobs: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("select jobs: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("select jobs: %w", err)
	}
	return ids, nil
}
