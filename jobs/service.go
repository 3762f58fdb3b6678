// Package jobs defines what a job is: its services, its state and submission, and what may happen to
// it, as pure functions of a job and a time. [coatcheck/jobs/queue] stores and runs jobs.
//
// Authors of services need [Add], [Service], [Progress], [Log], [Output] and a few errors.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"time"
)

// A Func implements a service: it computes an output from an input and may report its progress with
// [Progress]. It must return soon after ctx is done. An error that wraps [ErrPermanent] prevents
// another attempt. An error that wraps [RetryAfter] sets the delay before the next attempt.
type Func[In, Out any] func(ctx context.Context, in In) (Out, error)

// A Service is a service that callers can run as a job.
type Service struct {
	// Name is the service's name in URLs, such as "sleep" or "maths.add". Required.
	Name string
	// Summary is a one-sentence description for the documentation and the web page.
	Summary string
	// Timeout limits an attempt. Default 15 minutes. A caller may request another timeout, up to
	// the server's limit.
	Timeout time.Duration
	// MaxAttempts is the maximum number of attempts. Default 3. A caller may request another
	// number.
	MaxAttempts int
	// Concurrency limits how many jobs of the service run at once in each process. These jobs
	// do not count towards [Config.Workers]. Default: no limit of its own.
	Concurrency int
	// InputSchema and OutputSchema are JSON Schemas (2020-12) of a service whose types
	// are [encoding/json.RawMessage]. Other services have the schemas of their types.
	InputSchema, OutputSchema json.RawMessage
	// Check returns why an input that its schema allows can't be used; nil for no check.
	Check func(input []byte) error
	// External means that the service runs its work in another process, so that it can't
	// end this one.
	External bool

	input, output reflect.Type
	fits          func(input []byte) error
	reading       chan struct{} // limits concurrent reads: contains a value for each input that is being read
	// call runs the service. It calls returned before it calls methods of the values that the
	// service returned.
	call func(ctx context.Context, input []byte, returned func()) Result
}

const (
	defaultTimeout     = 15 * time.Minute
	defaultMaxAttempts = 3
)

// Input returns the type of the service's input: a struct whose tags describe the schema.
func (s *Service) Input() reflect.Type { return s.input }

// Fits reports whether an input that is valid by its schema can be decoded into the Go type. The
// error is an [encoding/json.UnmarshalTypeError] or a plain text. The methods of the type, such as
// UnmarshalJSON, may do anything: a panic is returned as an error, and so is a method that does not
// return within five seconds.
func (s *Service) Fits(input []byte) error {
	timer := time.NewTimer(fitsTime)
	defer timer.Stop()
	select {
	case s.reading <- struct{}{}:
	case <-timer.C:
		return errUnread
	}
	done := make(chan error, 1)
	go func() {
		err := errUnread
		defer func() {
			if recover() != nil {
				err = errUnread
			}
			<-s.reading
			done <- err
		}()
		err = plain(s.fits(input))
	}()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errUnread
	}
}

const (
	// fitsTime limits how long the methods of an input's type may take.
	fitsTime = 5 * time.Second
	// maxReading is the maximum number of inputs of a service that are read concurrently.
	maxReading = 64
)

var errUnread = errors.New("expected a value that the service can read: its input type fails on this one")

// plain returns an error that has no methods of the service.
func plain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &json.UnmarshalTypeError{
			Value: e.Value, Type: e.Type, Offset: e.Offset, Struct: e.Struct, Field: e.Field,
		}
	}
	return errors.New(Clip(err.Error(), maxErrorText))
}

// Output returns the type of the service's output.
func (s *Service) Output() reflect.Type { return s.output }

// A Registry contains services in the order in which they were added. The zero value is an empty
// registry.
type Registry struct {
	services []*Service
	byName   map[string]*Service
}

// ValidServiceName reports whether a name has the form of a service's name.
func ValidServiceName(name string) bool { return serviceName.MatchString(name) }

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// Add adds a service that is implemented by fn. Its route, the validation of its input, its JSON
// Schema and its part of the OpenAPI document are derived from it. Add panics if the name is
// missing, taken, or not made of lowercase letters, digits, "_" and ".", or if the input is not a
// struct.
func Add[In, Out any](r *Registry, s Service, fn Func[In, Out]) {
	switch {
	case !serviceName.MatchString(s.Name):
		panic(fmt.Sprintf("jobs: service name %q is not of the form word or word.word in lower case", s.Name))
	case r.byName[s.Name] != nil:
		panic(fmt.Sprintf("jobs: service %q is added twice", s.Name))
	case s.InputSchema == nil && reflect.TypeFor[In]().Kind() != reflect.Struct:
		panic(fmt.Sprintf("jobs: the input of service %q is not a struct", s.Name))
	case s.Timeout < 0 || s.MaxAttempts < 0 || s.Concurrency < 0:
		panic(fmt.Sprintf("jobs: service %q has a negative limit", s.Name))
	}
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = defaultMaxAttempts
	}
	s.input, s.output = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	s.reading = make(chan struct{}, maxReading)
	s.fits = func(input []byte) error {
		err := json.Unmarshal(input, new(In))
		if err == nil && s.Check != nil {
			err = s.Check(input)
		}
		return err
	}
	s.call = func(ctx context.Context, input []byte, returned func()) Result {
		var in In
		if err := json.Unmarshal(input, &in); err != nil {
			return Fail(CodeInvalidInput, "invalid input: %s", err)
		}
		out, err := fn(ctx, in)
		returned()
		if err != nil {
			return FailWith(err)
		}
		if f, ok := any(out).(File); ok {
			return fileResult(ctx, f)
		}
		return encodeOutput(ctx, out)
	}
	if r.byName == nil {
		r.byName = make(map[string]*Service)
	}
	r.byName[s.Name] = &s
	r.services = append(r.services, &s)
}

// Get returns the service with this name, or nil.
func (r *Registry) Get(name string) *Service { return r.byName[name] }

// All yields the services in the order in which they were added.
func (r *Registry) All() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, s := range r.services {
			if !yield(s) {
				return
			}
		}
	}
}
