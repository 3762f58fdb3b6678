package jobs

import (
	"context"
	"errors"
	"time"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// Submit creates a job. When it returns, the job is on disk. With an idempotency key that was used
// before, it returns the first job and replayed is true, even if the queue is full. Errors:
// [ErrUnknownService], [ErrKeyReused], [ErrRemoved] of the first job, [ErrQueueFull],
// [ErrUserQueueFull], [store.ErrUnavailable], and joined [FieldError]s.
func (q *Queue) Submit(ctx context.Context, s Submission) (job Job, replayed bool, err error) {
	if err := s.complete(q.Services, q.MaxTimeout, q.Retain); err != nil {
		return Job{}, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	fresh, err := q.newJob(&s)
	if err != nil {
		return Job{}, false, err
	}
	if err := q.admit(s.Owner); err != nil {
		if s.IdempotencyKey == "" || errors.Is(err, store.ErrUnavailable) {
			return Job{}, false, err
		}
		return q.replayFull(ctx, newClaim(&s, &fresh), err)
	}
	ch := &change{names: []string{fresh.ID}, size: len(s.Input) + len(s.Metadata)}
	if s.IdempotencyKey != "" {
		ch.claim = newClaim(&s, &fresh)
	}
	var inserted *Job
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
		return Job{}, false, err
	}
	q.admitted(s.Owner)
	q.cacheQueued(inserted)
	return *inserted, false, nil
}

// newJob returns the job for s, which is not stored yet.
func (q *Queue) newJob(s *Submission) (Job, error) {
	id, err := keys.NewID("job_")
	if err != nil {
		return Job{}, err
	}
	now := store.At(time.Now())
	j := Job{
		ID: id, Token: Optional(q.Keys.Token(id)), Service: s.Service, Status: Queued, CreatedAt: now,
		MaxAttempts: s.MaxAttempts, Step: 1, Steps: 1 + len(s.Then),
		Chain: []Step{{Service: s.Service, Input: s.Input}}, Input: s.Input, Priority: s.Priority,
		Tags: append([]string{}, s.Tags...), Metadata: s.Metadata,
		Owner: s.Owner, BaseURL: s.BaseURL, RetryOf: Optional(s.RetryOf), version: 1, timeout: store.Duration(s.Timeout),
		retain: store.Duration(s.Retain),
	}
	for _, step := range s.Then {
		j.Chain = append(j.Chain, Step{Service: step.Service, Input: step.Input})
	}
	if s.Delay > 0 {
		s.RunAt = now.Add(s.Delay)
	}
	if s.RunAt.After(now.Time) {
		at := store.At(s.RunAt)
		j.Status, j.RunAt = Scheduled, &at
	}
	if s.StartWithin > 0 {
		at := store.At(now.Add(s.StartWithin))
		j.ExpiresAt = &at
	}
	if s.CallbackURL != "" {
		j.requested = callbackRequest{url: s.CallbackURL, events: s.CallbackEvents, state: s.CallbackState}
		j.Callback = &Callback{URL: s.CallbackURL, Status: "pending"}
	}
	j.refresh()
	return j, nil
}
