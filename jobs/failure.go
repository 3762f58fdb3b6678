package jobs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that a caller can act on.
var (
	// ErrNotFound means that the job does not exist.
	ErrNotFound = errors.New("no such job")
	// ErrRemoved means that the job existed and its record was removed, because its retention ended
	// or its owner deleted it.
	ErrRemoved = errors.New("the job's record was removed")
	// ErrFinished means that the job is already finished.
	ErrFinished = errors.New("the job is already finished")
	// ErrNotFinished means that the job is not finished yet.
	ErrNotFinished = errors.New("the job is not finished")
	// ErrPending means that a callback of the job is not delivered yet.
	ErrPending = errors.New("a callback of the job is not delivered yet")
	// ErrKeyReused means that an idempotency key was used again with a different request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrUnknownService means that the service does not exist.
	ErrUnknownService = errors.New("no such service")
)

// ErrPermanent ends the attempts of a job if the error of its service wraps it: fmt.Errorf("no such
// file: %w", jobs.ErrPermanent).
var ErrPermanent = errors.New("not worth another attempt")

// RetryAfter returns an error for services to wrap that sets the delay before the next attempt:
// fmt.Errorf("the printer is busy: %w", jobs.RetryAfter(time.Minute)). The failed attempt counts.
// The next attempt, if any is left, begins after d (at most a year) instead of the usual delay.
func RetryAfter(d time.Duration) error {
	return retryError(min(max(d, 0), 365*24*time.Hour))
}

type retryError time.Duration

// Error implements error.
func (d retryError) Error() string { return "try again in " + time.Duration(d).String() }

// The error codes of jobs whose service failed.
const (
	CodeFailed        = "failed"
	codePanic         = "panic"
	codeTimeout       = "timeout"
	CodeInvalidInput  = "invalid_input"
	codeInvalidOutput = "invalid_output"
	CodeWorkerLost    = "worker_lost"
	CodeNotStarted    = "not_started" // never visible: the job stays queued
)

// A Result is the outcome of a run as plain data. All methods of the service's values were called
// to build it, so committing it runs no service code.
type Result struct {
	// Output is the service's output as JSON.
	Output json.RawMessage `json:"output,omitempty"`
	// File is the id of the file that the output describes; "" if the output is no file.
	File string `json:"file,omitempty"`
	// Failure is why the service has no output; nil if it has one.
	Failure *Failure `json:"failure,omitempty"`

	// Returned is closed when an abandoned service returns after all; nil if the service has
	// returned.
	Returned <-chan struct{} `json:"-"`
}

// A Failure is why a run has no output.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Permanent means that another attempt would fail too.
	Permanent bool `json:"permanent,omitempty"`
	// RetryAfter is the delay before the next attempt; nil for the usual delay.
	RetryAfter *time.Duration `json:"retry_after,omitempty"`
}

// Fail returns the result of a run that failed with a code and a message, which is clipped.
func Fail(code, format string, args ...any) Result {
	return Result{Failure: &Failure{
		Code: code, Message: Clip(fmt.Sprintf(format, args...), maxErrorText),
		Permanent: code == CodeInvalidInput || code == codeInvalidOutput,
	}}
}

const (
	// maxErrorText is the maximum length of an error text that callers see, in bytes.
	maxErrorText = 4096
	// maxErrorTree is the maximum number of wrapped errors that are inspected.
	maxErrorTree = 1000
)

// FailWith returns the result of a run that failed with an error of a service. It calls the error's methods, which may panic, block or
// exit, so only the run's own goroutine may call it.
func FailWith(err error) Result {
	text := err.Error()
	text = text[:min(len(text), 2*maxErrorText)]
	f := &Failure{Code: CodeFailed}
	f.Message = cmp.Or(strings.TrimRight(strings.TrimSuffix(text, ErrPermanent.Error()), ": \n"), text) // wrapped or joined
	f.Message = Clip(strings.ReplaceAll(f.Message, "\x00", ""), maxErrorText)
	left := maxErrorTree
	f.inspect(err, &left)
	return Result{Failure: f}
}

// inspect searches the tree of an error for [ErrPermanent] and [RetryAfter], as errors.Is and
// errors.As do. It inspects a bounded number of errors because a tree with a cycle has no end.
func (f *Failure) inspect(err error, left *int) {
	for err != nil && *left > 0 {
		*left--
		if is, ok := err.(interface{ Is(target error) bool }); err == ErrPermanent || ok && is.Is(ErrPermanent) { //nolint:errorlint // this is errors.Is
			f.Permanent = true
		}
		after, found := err.(retryError) //nolint:errorlint // this is errors.As
		if as, ok := err.(interface{ As(target any) bool }); !found && ok {
			found = as.As(&after)
		}
		if found && f.RetryAfter == nil {
			d := time.Duration(after)
			f.RetryAfter = &d
		}
		switch wrapper := err.(type) { //nolint:errorlint // this is errors.Unwrap
		case interface{ Unwrap() error }:
			err = wrapper.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range wrapper.Unwrap() {
				f.inspect(e, left)
			}
			return
		default:
			return
		}
	}
}

// panicText returns the text to log for a panic's value. A value without a text of its own is
// logged as its type only, because printing it could take unbounded time or memory.
func panicText(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T, whose text panics too", v)
		}
	}()
	switch v := v.(type) {
	case error:
		text = v.Error()
	case fmt.Stringer:
		text = v.String()
	case string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64,
		complex64, complex128:
		text = fmt.Sprint(v)
	default:
		text = fmt.Sprintf("a value of type %T", v)
	}
	return Clip(text, maxErrorText)
}
