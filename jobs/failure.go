package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrPermanent ends the attempts of a job whose service returns an error that
// wraps it: fmt.Errorf("no such file: %w", jobs.ErrPermanent).
var ErrPermanent = errors.New("not worth another attempt")

// RetryAfter returns an error for services to wrap that know when another
// attempt makes sense: fmt.Errorf("the printer is busy: %w",
// jobs.RetryAfter(time.Minute)). The attempt counts, and the next one, if there
// is any left, begins after d, at most a year, in place of the usual time.
func RetryAfter(d time.Duration) error {
	return retryError(min(max(d, 0), 365*24*time.Hour))
}

type retryError time.Duration

// Error says when.
func (d retryError) Error() string { return "try again in " + time.Duration(d).String() }

// fail records a failed attempt, and plans another one if that is allowed.
func (t *transition) fail(ctx context.Context, j *Job, runErr, cause error) error {
	jobErr := &Error{Code: "failed", Message: message(runErr), Attempt: j.Attempt}
	permanent := errors.Is(runErr, ErrPermanent)
	switch {
	case errors.Is(runErr, errPanic):
		jobErr.Code, jobErr.Message = "panic", "the service panicked; the server's log says more"
	case errors.Is(runErr, errOutput):
		jobErr.Code, permanent = "invalid_output", true
	case errors.Is(runErr, errInput):
		jobErr.Code, permanent = "invalid_input", true
	case errors.Is(cause, errTimeout):
		jobErr.Code, jobErr.Message = "timeout", fmt.Sprintf("the attempt took longer than %s", time.Duration(j.timeout))+t.leftBehind()
	}
	if permanent || j.Attempt >= j.MaxAttempts {
		return t.end(ctx, j, Failed, jobErr)
	}
	wait := t.q.Backoff(j.Attempt)
	if after, ok := errors.AsType[retryError](runErr); ok {
		wait = time.Duration(after)
	}
	at := At(t.now.Add(wait))
	t.to(j, Retrying)
	j.Error, j.RunAt, j.riverJobID = jobErr, &at, 0
	return t.callBack(ctx, j, JobRetrying)
}

// leftBehind is what is added to the error of a job whose service was.
func (t *transition) leftBehind() string {
	if t.deaf {
		return "; the service did not stop and was left behind"
	}
	return ""
}

// message returns what a caller may know of a service's error.
func message(err error) string {
	const most = 4096
	s := cmp.Or(strings.TrimRight(strings.TrimSuffix(err.Error(), ErrPermanent.Error()), ": \n"), err.Error()) // wrapped or joined
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
