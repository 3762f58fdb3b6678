package jobs

import (
	"slices"
	"time"
)

// Again returns the submission that runs a finished job again, for its owner, with its input and
// options but without its delay or run_at. The finished job does not change. baseURL is the URL
// through which the caller reached the API. key is an idempotency key. Error: [ErrNotFinished].
func (old *Job) Again(baseURL, key string) (Submission, error) {
	if !old.Done {
		return Submission{}, ErrNotFinished
	}
	s := Submission{
		Owner: old.Owner, Service: old.Service, Input: old.Input, Uploads: old.Uploads, Priority: old.Priority,
		Timeout: time.Duration(old.Timeout), MaxAttempts: old.MaxAttempts,
		Retain: time.Duration(old.Retain), Tags: slices.Clone(old.Tags), Metadata: old.Metadata,
		CallbackURL: old.Requested.URL, CallbackEvents: old.Requested.Events, CallbackState: old.Requested.State,
		BaseURL: baseURL, RetryOf: old.ID,
		IdempotencyKey: key, Fingerprint: "retry of " + old.ID,
	}
	if old.ExpiresAt != nil {
		s.StartWithin = old.ExpiresAt.Sub(old.CreatedAt.Time)
	}
	for _, step := range old.Chain[1:] {
		if step.Timeout > 0 { // the submitter requested none
			s.Timeout = 0
		}
		if step.MaxAttempts > 0 {
			s.MaxAttempts = 0
		}
		s.Then = append(s.Then, NextStep{Service: step.Service, Input: step.Input})
	}
	return s, nil
}
