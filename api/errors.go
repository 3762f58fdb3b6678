package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/auth"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// ProblemOf returns the problem for an error. It logs unexpected errors, and
// their details are hidden from the client.
func (a *API) ProblemOf(ctx context.Context, err error) *problem.Problem {
	info := InfoOf(ctx)
	if p := knownProblem(err); p != nil {
		return problemFor(info, p)
	}
	if ctx.Err() != nil {
		// The client has disconnected, so this response is never read.
		return problemFor(info, problem.New("request-timeout", "the client canceled the request"))
	}
	a.Logger.ErrorContext(ctx, "request failed", "request_id", info.ID, "err", err)
	return problemFor(info, problem.New("internal", "internal error; the server log has details under this request ID"))
}

func knownProblem(err error) *problem.Problem {
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*auth.RetryError](err); ok {
		return problem.New("rate-limited", e.Error()).RetryAfter(e.After)
	}
	if e, ok := errors.AsType[*notify.URLError](err); ok {
		return problem.New("invalid-callback-url", e.Reason,
			schema.ProblemError{Location: "body.callback_url", Message: e.Reason})
	}
	if e, ok := errors.AsType[*files.FullError](err); ok {
		return problem.New("storage-full", e.Error())
	}
	if errs := fieldErrors(err); errs != nil {
		return problem.Invalid(errs)
	}
	if e, ok := errors.AsType[*files.UnavailableError](err); ok {
		return problem.New("unavailable", e.Error()+"; try again later").RetryAfter(2 * time.Second)
	}
	switch {
	case errors.Is(err, auth.ErrNoCredentials):
		return unauthorized("credentials are required: HTTP Basic, or an API key as a bearer token")
	case errors.Is(err, auth.ErrBadCredentials):
		return unauthorized("incorrect name, password or API key")
	case errors.Is(err, errInvalidToken):
		return problem.New("not-found", "the job's token is not valid; use the URL as the server returned it",
			schema.ProblemError{Location: "path.job", Message: "this token is not valid"})
	case errors.Is(err, jobs.ErrNotFound):
		return problem.New("not-found", "there is no such job, or it belongs to another user")
	case errors.Is(err, queue.ErrNoDelivery):
		return problem.New("not-found", "there is no such delivery, or it belongs to another user")
	case errors.Is(err, receivers.ErrNoReceiver):
		return problem.New("not-found", "you have no test receiver; create one first")
	case errors.Is(err, keys.ErrNotFound):
		return problem.New("not-found", "there is no such key, or it belongs to another user")
	case errors.Is(err, keys.ErrTooMany):
		return problem.New("too-many-keys", err.Error())
	case errors.Is(err, jobs.ErrUnknownService):
		return problem.New("not-found", "there is no such service; GET /v1/services lists all services")
	case errors.Is(err, jobs.ErrNoFiles):
		return problem.New("unsupported-media-type", jobs.ErrNoFiles.Error())
	case errors.Is(err, jobs.ErrRemoved):
		return problem.New("job-removed", "the job's record was deleted, or its retention period has ended")
	case errors.Is(err, jobs.ErrFinished):
		return problem.New("already-finished", "the job has already ended")
	case errors.Is(err, jobs.ErrNotFinished):
		return problem.New("not-finished", "the job has not ended yet; wait for it to end or cancel it first")
	case errors.Is(err, jobs.ErrPending):
		return problem.New("deliveries-pending", "a callback of the job is still pending; use ?force=true to discard it")
	case errors.Is(err, jobs.ErrKeyReused):
		return problem.New("idempotency-key-reused",
			"this Idempotency-Key was used with a different request; use a new key for each new request")
	case errors.Is(err, queue.ErrQueueFull):
		return problem.New("queue-full", "too many jobs are waiting").RetryAfter(5 * time.Second)
	case errors.Is(err, queue.ErrUserQueueFull):
		return problem.New("queue-full", "too many of your jobs are waiting").RetryAfter(5 * time.Second)
	case errors.Is(err, store.ErrUnavailable):
		return problem.New("unavailable", "the database is unavailable; nothing was changed").RetryAfter(2 * time.Second)
	case queue.Unavailable(err):
		return problem.New("unavailable",
			"the database does not respond; the request may or may not have taken effect: "+
				"check, or repeat it with the same Idempotency-Key").RetryAfter(2 * time.Second)
	}
	return nil
}

func unauthorized(detail string) *problem.Problem {
	p := problem.New("unauthorized", detail)
	p.GetHeaders().Set("WWW-Authenticate", auth.Challenge)
	return p
}

// fieldErrors returns the validation errors that package jobs found in a
// submission.
func fieldErrors(err error) []schema.ProblemError {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var errs []schema.ProblemError
	for _, err := range joined.Unwrap() {
		if e, ok := errors.AsType[*jobs.FieldError](err); ok {
			errs = append(errs, schema.ProblemError{Location: "body." + e.Field, Message: e.Message})
		}
	}
	return errs
}

// transformProblem converts huma's own errors to problems.
func (a *API) transformProblem(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	return problemFor(InfoOf(ctx.Context()), a.problemOf(model)), nil
}

// problemOf returns the problem for an error of huma.
func (a *API) problemOf(model *huma.ErrorModel) *problem.Problem {
	var errs []schema.ProblemError
	for _, e := range model.Errors {
		errs = append(errs, problemError(e))
	}
	switch model.Status {
	case http.StatusUnprocessableEntity:
		return problem.Invalid(errs)
	case http.StatusRequestEntityTooLarge:
		return a.tooLarge()
	case http.StatusUnsupportedMediaType:
		return problem.New("unsupported-media-type", "expected application/json")
	case http.StatusNotAcceptable:
		return problem.New("not-acceptable", "responses are application/json")
	case http.StatusRequestTimeout:
		return problem.New("request-timeout", "the request took too long to arrive")
	case http.StatusBadRequest:
		return problem.New("bad-request", model.Detail, errs...)
	default:
		return problem.New("internal", "internal error")
	}
}

// problemError converts an error of huma and omits long values.
func problemError(e *huma.ErrorDetail) schema.ProblemError {
	p := schema.ProblemError{Location: e.Location, Message: strings.TrimPrefix(e.Message, "invalid value: ")}
	switch v := e.Value.(type) {
	case string:
		if len(v) <= 100 && e.Location != "body" {
			p.Value = v
		}
	case bool, float64, int, int64:
		p.Value = v
	case json.Number:
		if len(v) <= 100 {
			p.Value = v
		}
	}
	return p
}
