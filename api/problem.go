package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/notify"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
)

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

// A Problem is the answer to a request that can't be fulfilled (RFC 9457).
type Problem struct { //nolint:errname // the standard's word
	Type      string         `json:"type" format:"uri-reference" doc:"Names the kind of problem."`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty" doc:"What is wrong here, and what would be right."`
	Code      string         `json:"code" doc:"The kind of problem, for programs."`
	Instance  string         `json:"instance" format:"uri-reference" doc:"The path of the request."`
	RequestID string         `json:"request_id" doc:"Stands in the server's log too."`
	Errors    []ProblemError `json:"errors,omitempty" nullable:"false" doc:"All mistakes of the request."`

	header http.Header
}

// A ProblemError is one mistake in a request.
type ProblemError struct {
	Location string `json:"location" doc:"Where, such as body.input.seconds."`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return problemType }

// statusOf has the status of each code.
var statusOf = map[string]int{
	"bad-request":            http.StatusBadRequest,
	"unauthorized":           http.StatusUnauthorized,
	"forbidden":              http.StatusForbidden,
	"not-found":              http.StatusNotFound,
	"method-not-allowed":     http.StatusMethodNotAllowed,
	"not-acceptable":         http.StatusNotAcceptable,
	"request-timeout":        http.StatusRequestTimeout,
	"already-finished":       http.StatusConflict,
	"not-finished":           http.StatusConflict,
	"job-failed":             http.StatusConflict,
	"job-canceled":           http.StatusConflict,
	"job-expired":            http.StatusConflict,
	"deliveries-pending":     http.StatusConflict,
	"too-many-keys":          http.StatusConflict,
	"job-removed":            http.StatusGone,
	"payload-too-large":      http.StatusRequestEntityTooLarge,
	"unsupported-media-type": http.StatusUnsupportedMediaType,
	"unknown-host":           http.StatusMisdirectedRequest,
	"invalid-input":          http.StatusUnprocessableEntity,
	"invalid-callback-url":   http.StatusUnprocessableEntity,
	"idempotency-key-reused": http.StatusUnprocessableEntity,
	"rate-limited":           http.StatusTooManyRequests,
	"queue-full":             http.StatusTooManyRequests,
	"internal":               http.StatusInternalServerError,
	"shutting-down":          http.StatusServiceUnavailable,
	"unavailable":            http.StatusServiceUnavailable,
}

// newProblem returns a problem; finish says to which request it belongs.
func newProblem(code, detail string, errs ...ProblemError) *Problem {
	title := strings.ToUpper(code[:1]) + strings.ReplaceAll(code[1:], "-", " ")
	return &Problem{Type: "/problems/" + code, Title: title, Status: statusOf[code], Detail: detail, Code: code, Errors: errs, header: make(http.Header)}
}

// after adds a Retry-After header, in seconds.
func (p *Problem) after(wait time.Duration) *Problem {
	p.header.Set("Retry-After", strconv.Itoa(max(1, int(wait.Seconds()))))
	return p
}

// finish says to which request the problem belongs.
func (p *Problem) finish(info *requestInfo) *Problem {
	p.Type = info.base + "/problems/" + p.Code
	p.Instance = info.path
	p.RequestID = info.id
	return p
}

// problem returns the problem for an error. What it does not know is logged,
// and the caller only learns that something went wrong.
func (a *API) problem(ctx context.Context, err error) *Problem {
	info := infoOf(ctx)
	if p := knownProblem(err); p != nil {
		return p.finish(info)
	}
	if ctx.Err() != nil {
		// Nobody reads the answer.
		return newProblem("request-timeout", "the request was given up").finish(info)
	}
	a.Logger.ErrorContext(ctx, "request failed", "request_id", info.id, "err", err)
	return newProblem("internal", "something went wrong here; the log has the rest under this request id").finish(info)
}

func knownProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*RetryError](err); ok {
		return newProblem("rate-limited", e.Error()).after(e.After)
	}
	if e, ok := errors.AsType[*notify.URLError](err); ok {
		return newProblem("invalid-callback-url", e.Reason, ProblemError{Location: "body.callback_url", Message: e.Reason})
	}
	if errs := fieldErrors(err); errs != nil {
		return invalid(errs)
	}
	switch {
	case errors.Is(err, ErrNoCredentials):
		return unauthorized("credentials are needed: HTTP Basic, or an API key as a bearer token")
	case errors.Is(err, ErrBadCredentials):
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
		return newProblem("job-removed", "the job's record was removed: its time was over")
	case errors.Is(err, jobs.ErrFinished):
		return newProblem("already-finished", "the job has ended already")
	case errors.Is(err, jobs.ErrNotFinished):
		return newProblem("not-finished", "the job has not ended yet; wait, or cancel it first")
	case errors.Is(err, jobs.ErrPending):
		return newProblem("deliveries-pending", "a callback of the job is not delivered yet; ?force=true gives it up")
	case errors.Is(err, jobs.ErrKeyReused):
		return newProblem("idempotency-key-reused", "this Idempotency-Key came with another request before; use a new key for each new request")
	case errors.Is(err, jobs.ErrQueueFull):
		return newProblem("queue-full", "too many jobs are waiting").after(5 * time.Second)
	case errors.Is(err, jobs.ErrUserQueueFull):
		return newProblem("queue-full", "too many of your jobs are waiting").after(5 * time.Second)
	case errors.Is(err, jobs.ErrUnavailable):
		return newProblem("unavailable", "the database is away; nothing was done").after(2 * time.Second)
	case jobs.Unavailable(err):
		return newProblem("unavailable", "the database does not answer; if this was to change something, ask whether it did, or repeat it with the same Idempotency-Key").after(2 * time.Second)
	}
	return nil
}

func unauthorized(detail string) *Problem {
	p := newProblem("unauthorized", detail)
	p.header.Set("WWW-Authenticate", Challenge)
	return p
}

// invalid returns the problem of a request with these mistakes.
func invalid(errs []ProblemError) *Problem {
	detail := "the request has a mistake"
	if len(errs) > 1 {
		detail = fmt.Sprintf("the request has %d mistakes", len(errs))
	}
	return newProblem("invalid-input", detail, errs...)
}

// fieldErrors returns the mistakes that jobs found in a submission.
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

// transformProblem gives huma's own errors our form.
func (a *API) transformProblem(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	return problemOf(model).finish(infoOf(ctx.Context())), nil
}

// problemOf translates an error of huma's.
func problemOf(model *huma.ErrorModel) *Problem {
	var errs []ProblemError
	for _, e := range model.Errors {
		errs = append(errs, problemError(e))
	}
	switch model.Status {
	case http.StatusUnprocessableEntity:
		return invalid(errs)
	case http.StatusRequestEntityTooLarge:
		return newProblem("payload-too-large", model.Detail)
	case http.StatusUnsupportedMediaType:
		return newProblem("unsupported-media-type", "expected application/json")
	case http.StatusNotAcceptable:
		return newProblem("not-acceptable", "answers are application/json")
	case http.StatusRequestTimeout:
		return newProblem("request-timeout", "the request took too long to arrive")
	case http.StatusBadRequest:
		return newProblem("bad-request", model.Detail, errs...)
	default:
		return newProblem("internal", "something went wrong here")
	}
}

// problemError leaves out values that are long.
func problemError(e *huma.ErrorDetail) ProblemError {
	p := ProblemError{Location: e.Location, Message: e.Message}
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

// writeProblem answers a request that huma does not see.
func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(r.Context(), err)
	maps.Copy(w.Header(), p.header)
	if p.Status == http.StatusUnauthorized && r.Header.Get("Sec-Fetch-Dest") == "empty" {
		// Asked for Basic, a browser would interrupt the reader of the page
		// whose script it is.
		w.Header().Set("WWW-Authenticate", `Bearer realm="Authentication Required"`)
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil && r.Context().Err() == nil {
		a.Logger.DebugContext(r.Context(), "problem not sent", "err", err)
	}
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Accept"), "text/html") { // a person
		if err := a.authenticate(r); err != nil {
			infoOf(r.Context()).user = User{} // it is no secret that there is nothing
		}
		a.problemPage(w, r, newProblem("not-found", "There is nothing at this address."))
		return
	}
	a.writeProblem(w, r, newProblem("not-found", "there is nothing at this path; GET /docs lists what there is"))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		if a.router.Match(chi.NewRouteContext(), method, r.URL.Path) {
			allowed = append(allowed, method)
		}
	}
	slices.Sort(allowed)
	p := newProblem("method-not-allowed", "this path takes "+strings.Join(allowed, ", "))
	p.header.Set("Allow", strings.Join(allowed, ", "))
	a.writeProblem(w, r, p)
}
