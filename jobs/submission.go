package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Submission is a request for a job. The API has validated its input against the service's
// schema; the queue validates the rest.
type Submission struct {
	Owner   string
	Service string
	Input   json.RawMessage
	// JobID is the id of the new job if it has Uploads, the files of its input by their ids, which
	// are stored already under that id. If the job is not created, they are deleted. Default: a new
	// id.
	JobID   string
	Uploads map[string]File
	// Then contains the further steps of the job. Each may use the output of the previous step.
	Then []NextStep
	// RunAt is the earliest start of the job. Delay is an alternative to RunAt, relative to now.
	// Zero means now.
	RunAt time.Time
	Delay time.Duration
	// Priority is 1 (first) to 4. Default 2.
	Priority int
	// Timeout limits an attempt. The default is that of each step's service.
	Timeout time.Duration
	// MaxAttempts is the maximum number of attempts per step. The default is that of each step's
	// service.
	MaxAttempts int
	// StartWithin is how long the job may wait for its start before it expires; zero means forever.
	StartWithin time.Duration
	// Retain is how long the record is kept after the job's end. The default is the server's.
	Retain   time.Duration
	Tags     []string
	Metadata json.RawMessage // a JSON object, or nil
	// CallbackURL receives callbacks of CallbackEvents, by default of the job's end. The API has
	// validated it.
	CallbackURL    string
	CallbackEvents []string
	// CallbackState is returned in every callback.
	CallbackState string
	// BaseURL is the URL through which the submitter reached the API, "https://host".
	BaseURL string
	// IdempotencyKey deduplicates submissions. A repeated submission returns the first one's job
	// while that job's record is kept, and [ErrRemoved] for 24 hours after its removal. Fingerprint
	// identifies the request, to detect a different one with the same key. Caller is the owner of
	// the key, if that is not the owner of the job. Default: the owner.
	IdempotencyKey string
	Fingerprint    string
	Caller         string
	// RetryOf is the id of the job that this one runs again, or "". The new job has its own copies
	// of that job's files.
	RetryOf string
}

// Services returns the services that the job runs, in order.
func (s *Submission) Services() []string {
	names := []string{s.Service}
	for _, step := range s.Then {
		names = append(names, step.Service)
	}
	return names
}

// A NextStep is a further step of a job. In its input, the object {"$output": "/json/pointer"} (RFC
// 6901) is replaced with a part of the previous step's output; the pointer "" refers to all of it.
type NextStep struct {
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input"`
	// Timeout and MaxAttempts are set by Complete if the submission has none of its own.
	Timeout     time.Duration `json:"-"`
	MaxAttempts int           `json:"-"`
}

// The callback events that a caller may request.
const (
	JobStarted   = "job.started"
	JobProgress  = "job.progress"
	JobRetrying  = "job.retrying"
	JobSucceeded = "job.succeeded"
	JobFailed    = "job.failed"
	JobCanceled  = "job.canceled"
	JobExpired   = "job.expired"
)

// terminalEvents are the default callback events.
var terminalEvents = []string{JobSucceeded, JobFailed, JobCanceled, JobExpired}

// Limits of a submission.
const (
	MaxSteps         = 21 // the first step, and 20 in then
	MaxTags          = 20
	MaxTag           = 64 // characters
	MaxAttempts      = 100
	MaxDelay         = 365 * 24 * time.Hour
	maxMetadata      = 16 << 10
	maxCallbackState = 1 << 10
)

// A FieldError is an error in one field of a submission.
type FieldError struct {
	Field   string // as in the request, such as "then[0].service"
	Message string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// Complete applies the defaults and returns all errors, as [FieldError]s joined by [errors.Join].
func (s *Submission) Complete(r *Registry, maxTimeout, retain time.Duration) error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	service := r.Get(s.Service)
	if service == nil {
		return ErrUnknownService
	}
	s.Then = slices.Clone(s.Then) // the caller's stays as it is
	for i := range s.Then {
		step := &s.Then[i]
		step.Timeout, step.MaxAttempts = 0, 0
		next := r.Get(step.Service)
		if next == nil {
			wrong(fmt.Sprintf("then[%d].service", i), "no service has this name")
			continue
		}
		if s.Timeout == 0 {
			step.Timeout = min(next.Timeout, maxTimeout)
		}
		if s.MaxAttempts == 0 {
			step.MaxAttempts = next.MaxAttempts
		}
	}
	if len(s.Then) >= MaxSteps {
		wrong("then", "expected at most %d further steps", MaxSteps-1)
	}
	if s.Priority == 0 {
		s.Priority = 2
	}
	if s.Priority < 1 || s.Priority > 4 {
		wrong("priority", "expected 1 (first) to 4")
	}
	if s.Timeout == 0 {
		s.Timeout = min(service.Timeout, maxTimeout)
	}
	if s.Timeout < 0 || s.Timeout > maxTimeout {
		wrong("timeout", "expected more than 0 and at most %s", maxTimeout)
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = service.MaxAttempts
	}
	if s.MaxAttempts < 1 || s.MaxAttempts > MaxAttempts {
		wrong("max_attempts", "expected 1 to %d", MaxAttempts)
	}
	if s.StartWithin < 0 || s.StartWithin > MaxDelay {
		wrong("start_within", "expected more than 0 and at most %s", MaxDelay)
	} else if s.StartWithin > 0 && s.StartWithin <= max(s.Delay, time.Until(s.RunAt)) {
		wrong("start_within", "expected longer than the job is to wait at least")
	}
	if s.Retain == 0 {
		s.Retain = retain
	}
	if s.Retain < 0 || s.Retain > MaxDelay {
		wrong("retain", "expected more than 0 and at most %s", MaxDelay)
	}
	if s.Delay < 0 || s.Delay > MaxDelay {
		wrong("delay", "expected at most %s", MaxDelay)
	}
	if time.Until(s.RunAt) > MaxDelay {
		wrong("run_at", "expected a time in the next %s", MaxDelay)
	}
	if len(s.Tags) > MaxTags {
		wrong("tags", "expected at most %d", MaxTags)
	}
	if len(s.Metadata) > maxMetadata {
		wrong("metadata", "expected at most %d bytes", maxMetadata)
	}
	if len(s.CallbackState) > maxCallbackState {
		wrong("callback_state", "expected at most %d bytes", maxCallbackState)
	}
	if len(s.CallbackEvents) == 0 {
		s.CallbackEvents = terminalEvents
	}
	return errors.Join(errs...)
}
