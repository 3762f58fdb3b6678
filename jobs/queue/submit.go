package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// Submit creates a job. When it returns, the job is on disk. With an idempotency key that was used
// before, it returns the first job and replayed is true, even if the queue is full. Errors:
// [jobs.ErrUnknownService], [jobs.ErrKeyReused], [jobs.ErrRemoved] of the first job, [ErrQueueFull],
// [ErrUserQueueFull], [store.ErrUnavailable], and joined [jobs.FieldError]s.
func (q *Queue) Submit(ctx context.Context, s jobs.Submission) (job jobs.Job, replayed bool, err error) {
	if len(s.Uploads) > 0 {
		return q.submitWithUploads(ctx, s)
	}
	return q.submit(ctx, s)
}

func (q *Queue) submit(ctx context.Context, s jobs.Submission) (job jobs.Job, replayed bool, err error) {
	if err := s.Complete(q.Services, q.MaxTimeout, q.Retain); err != nil {
		return jobs.Job{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	fresh, err := q.newJob(&s)
	if err != nil {
		return jobs.Job{}, false, err
	}
	if err := q.admit(s.Owner); err != nil {
		if s.IdempotencyKey == "" || errors.Is(err, store.ErrUnavailable) {
			return jobs.Job{}, false, err
		}
		return q.replayFull(ctx, newClaim(&s, &fresh), err)
	}
	ch := &change{names: []string{fresh.ID}, size: len(s.Input) + len(s.Metadata)}
	if s.IdempotencyKey != "" {
		ch.claim = newClaim(&s, &fresh)
	}
	var inserted *jobs.Job
	ch.apply = func(_ context.Context, b *batch) error {
		if err := ch.claim.refused(); err != nil {
			return refuse(err)
		}
		inserted = new(fresh)
		b.insert(inserted)
		return nil
	}
	err = q.committer.commit(ctx, ch)
	if errors.Is(err, errClaimed) {
		return q.replay(ctx, ch.claim)
	}
	if err != nil {
		return jobs.Job{}, false, err
	}
	q.admitted(s.Owner)
	q.cacheQueued(inserted)
	q.views.put(*inserted)
	return *inserted, false, nil
}

// newJob returns the job for s, which is not stored yet.
func (q *Queue) newJob(s *jobs.Submission) (jobs.Job, error) {
	id := s.JobID
	if id == "" {
		var err error
		if id, err = keys.NewID("job_"); err != nil {
			return jobs.Job{}, err
		}
	}
	now := store.At(time.Now())
	j := jobs.Job{
		ID: id, Token: jobs.Optional(q.Keys.Token(id)), Service: s.Service, Status: jobs.Queued, CreatedAt: now,
		MaxAttempts: s.MaxAttempts, Step: 1, Steps: 1 + len(s.Then),
		Chain: []jobs.Step{{Service: s.Service, Input: s.Input, Uploads: s.Uploads}}, Input: s.Input, Uploads: s.Uploads, Priority: s.Priority,
		Tags: append([]string{}, s.Tags...), Metadata: s.Metadata,
		Owner: s.Owner, BaseURL: s.BaseURL, RetryOf: jobs.Optional(s.RetryOf),
		Internal: jobs.Internal{Version: 1, Timeout: store.Duration(s.Timeout), Retain: store.Duration(s.Retain), Digest: jobs.Digest(s.Input, s.Uploads)},
	}
	for _, step := range s.Then {
		j.Chain = append(j.Chain, jobs.Step{
			Service: step.Service, Input: step.Input, Timeout: store.Duration(step.Timeout), MaxAttempts: step.MaxAttempts,
		})
	}
	if s.Delay > 0 {
		s.RunAt = now.Add(s.Delay)
	}
	if s.RunAt.After(now.Time) {
		at := store.At(s.RunAt)
		j.Status, j.RunAt = jobs.Scheduled, &at
	}
	if s.StartWithin > 0 {
		at := store.At(now.Add(s.StartWithin))
		j.ExpiresAt = &at
	}
	if s.CallbackURL != "" {
		j.Requested = jobs.CallbackRequest{URL: s.CallbackURL, Events: s.CallbackEvents, State: s.CallbackState}
		j.Callback = &jobs.Callback{URL: s.CallbackURL, Status: "pending"}
	}
	j.Refresh()
	return j, nil
}

var (
	// ErrQueueFull means that the queue has reached [Config.MaxQueued].
	ErrQueueFull = errors.New("too many jobs are waiting")
	// ErrUserQueueFull means that the user has reached [Config.MaxQueuedByUser].
	ErrUserQueueFull = errors.New("too many of the user's jobs are waiting")
)

// admit returns an error if the queue cannot accept a job from the owner now.
func (q *Queue) admit(owner string) error {
	if q.health.failing() {
		return store.ErrUnavailable // fail fast while the database is down
	}
	if q.MaxQueued > 0 && q.waiting.Load() >= q.MaxQueued {
		return ErrQueueFull
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.MaxQueuedByUser > 0 && q.owners[owner] >= q.MaxQueuedByUser {
		return ErrUserQueueFull
	}
	return nil
}

// admitted counts an accepted job of the owner.
func (q *Queue) admitted(owner string) {
	q.waiting.Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.owners != nil {
		q.owners[owner]++
	}
}

// countWaiting refreshes the numbers of waiting jobs, for MaxQueued and MaxQueuedByUser.
func (q *Queue) countWaiting(ctx context.Context) error {
	if q.MaxQueued > 0 {
		depth, err := q.Depth(ctx)
		if err != nil {
			return err
		}
		q.waiting.Store(depth[jobs.Scheduled] + depth[jobs.Queued] + depth[jobs.Retrying])
	}
	if q.MaxQueuedByUser == 0 {
		return nil
	}
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT owner, count(*) FROM jobs WHERE status IN ('scheduled', 'queued', 'retrying') GROUP BY owner`)
	if err != nil {
		return fmt.Errorf("count jobs of users: %w", err)
	}
	defer rows.Close()
	owners := make(map[string]int64)
	for rows.Next() {
		var owner string
		var n int64
		if err := rows.Scan(&owner, &n); err != nil {
			return fmt.Errorf("count jobs of users: %w", err)
		}
		owners[owner] = n
	}
	q.mu.Lock()
	q.owners = owners
	q.mu.Unlock()
	return rows.Err()
}
