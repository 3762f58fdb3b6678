package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs"
	"coatcheck/notify"
)

// problem returns the problem for an error. It logs unexpected errors, and
// their details are hidden from the client.
func (a *API) problem(ctx context.Context, err error) *Problem {
	info := infoOf(ctx)
	if p := knownProblem(err); p != nil {
		return p.forRequest(info)
	}
	if ctx.Err() != nil {
		// The client has disconnected, so this response is never read.
		return newProblem("request-timeout", "the request was given up").forRequest(info)
	}
	a.Logger.ErrorContext(ctx, "request failed", "request_id", info.id, "err", err)
	return newProblem("internal", "something went wrong here; the log has the rest under this request id").forRequest(info)
}

func knownProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*auth.RetryError](err); ok {
		return newProblem("rate-limited", e.Error()).retryAfter(e.After)
	}
	if e, ok := errors.AsType[*notify.URLError](err); ok {
		return newProblem("invalid-callback-url", e.Reason, ProblemError{Location: "body.callback_url", Message: e.Reason})
	}
	if errs := fieldErrors(err); errs != nil {
		return invalid(errs)
	}
	switch {
	case errors.Is(err, auth.ErrNoCredentials):
		return unauthorized("credentials are needed: HTTP Basic, or an API key as a bearer token")
	case errors.Is(err, auth.ErrBadCredentials):
		return unauthorized("name or password is wrong, or the API key is")
	case errors.Is(err, jobs.ErrNotFound):
		return newProblem("not-found", "there is no such job, or it is somebody else's")
	case errors.Is(err, jobs.ErrNoDelivery):
		return newProblem("not-found", "there is no such delivery, or it is somebody else's")
	case errors.Is(err, jobs.ErrNoReceiver):
		return newProblem("not-found", "you have no test receiver; make one first")
	case errors.Is(err, jobs.ErrNoKey):
		return newProblem("not-found", "there is no such key, or it is somebody else's")
	case errors.Is(err, jobs.ErrTooManyKeys):
		return newProblem("too-many-keys", err.Error())
	case errors.Is(err, jobs.ErrUnknownService):
		return newProblem("not-found", "there is no such service; GET /v1/services lists all")
	case errors.Is(err, jobs.ErrRemoved):
		return newProblem("job-removed", "the job's record was removed: it was deleted, or its retention period is over")
	case errors.Is(err, jobs.ErrFinished):
		return newProblem("already-finished", "the job has ended already")
	case errors.Is(err, jobs.ErrNotFinished):
		return newProblem("not-finished", "the job has not ended yet; wait, or cancel it first")
	case errors.Is(err, jobs.ErrPending):
		return newProblem("deliveries-pending", "a callback of the job is not delivered yet; ?force=true gives it up")
	case errors.Is(err, jobs.ErrKeyReused):
		return newProblem("idempotency-key-reused", "this Idempotency-Key came with another request before; use a new key for each new request")
	case errors.Is(err, jobs.ErrQueueFull):
		return newProblem("queue-full", "too many jobs are waiting").retryAfter(5 * time.Second)
	case errors.Is(err, jobs.ErrUserQueueFull):
		return newProblem("queue-full", "too many of your jobs are waiting").retryAfter(5 * time.Second)
	case errors.Is(err, jobs.ErrUnavailable):
		return newProblem("unavailable", "the database is away; nothing was done").retryAfter(2 * time.Second)
	case jobs.Unavailable(err):
		return newProblem("unavailable", "the database does not answer; if this was to change something, ask whether it did, or repeat it with the same Idempotency-Key").retryAfter(2 * time.Second)
	}
	return nil
}

func unauthorized(detail string) *Problem {
	p := newProblem("unauthorized", detail)
	p.header.Set("WWW-Authenticate", auth.Challenge)
	return p
}

// invalid returns the problem of a request with these validation errors.
func invalid(errs []ProblemError) *Problem {
	detail := "the request has a mistake"
	if len(errs) > 1 {
		detail = fmt.Sprintf("the request has %d mistakes", len(errs))
	}
	return newProblem("invalid-input", detail, errs...)
}

// fieldErrors returns the validation errors that package jobs found in a
// submission.
func fieldErrors(err error) []ProblemError {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var errs []ProblemError
	for _, err := range joined.Unwrap() {
		if e, ok := errors.AsType[*jobs.FieldError](err); ok {
			errs = append(errs, ProblemError{Location: "body." + e.Field, Message: e.Message})
		}
	}
	return errs
}
