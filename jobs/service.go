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

// A Func does the work of a service: it turns an input into an output, and
// says how far it is with [Progress]. It must return soon after ctx is done.
// An error that wraps [ErrPermanent] is not worth another attempt; one of
// [RetryAfter] says when it is.
type Func[In, Out any] func(ctx context.Context, in In) (Out, error)

// A Service is what callers can run as a job.
type Service struct {
	// Name is the service's name in URLs, such as "sleep" or "maths.add". Required.
	Name string
	// Summary is one sentence for the documentation and the page.
	Summary string
	// Timeout ends an attempt that takes longer. Default 15 minutes; a caller
	// may ask for another, up to the server's limit.
	Timeout time.Duration
	// MaxAttempts is how often a job is tried in all. Default 3; a caller may
	// ask for another number.
	MaxAttempts int
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
	reading       chan struct{} // holds a value for each input that is being read
	// call runs the service. It calls returned before it calls methods of what
	// the service has returned.
	call func(ctx context.Context, input []byte, returned func()) result
}

const (
	defaultTimeout     = 15 * time.Minute
	defaultMaxAttempts = 3
)

// Input returns the type of the service's input: a struct whose tags say what
// is allowed.
func (s *Service) Input() reflect.Type { return s.input }

// Fits reports whether an input that its schema allows fits into the Go type:
// the error, an [encoding/json.UnmarshalTypeError] or a text, says why not. The
// methods of the type, UnmarshalJSON for example, may do anything: a panic is
// an error, and so is a method that does not return in five seconds.
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
	// fitsTime is how long the methods of an input's type may take.
	fitsTime = 5 * time.Second
	// maxReading is how many inputs of a service are read at once.
	maxReading = 64
)

var errUnread = errors.New("expected a value that the service can read: its input type fails on this one")

// plain returns an error without methods of the service's.
func plain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &json.UnmarshalTypeError{Value: e.Value, Type: e.Type, Offset: e.Offset, Struct: e.Struct, Field: e.Field}
	}
	return errors.New(clip(err.Error(), maxErrorText))
}

// Output returns the type of the service's output.
func (s *Service) Output() reflect.Type { return s.output }

// A Registry holds services in the order they were added. The zero value is
// an empty one.
type Registry struct {
	services []*Service
	byName   map[string]*Service
}

// ValidServiceName reports whether a name has the form of a service's name.
func ValidServiceName(name string) bool { return serviceName.MatchString(name) }

var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// Add adds a service whose work fn does. From this follow its route with
// validation of the input, its JSON Schema and its part of the OpenAPI
// document. It panics when the name is missing, taken or not made of lower
// case letters, digits, "_" and ".", or when the input is no struct.
func Add[In, Out any](r *Registry, s Service, fn Func[In, Out]) {
	switch {
	case !serviceName.MatchString(s.Name):
		panic(fmt.Sprintf("jobs: service name %q is not of the form word or word.word in lower case", s.Name))
	case r.byName[s.Name] != nil:
		panic(fmt.Sprintf("jobs: service %q is added twice", s.Name))
	case s.InputSchema == nil && reflect.TypeFor[In]().Kind() != reflect.Struct:
		panic(fmt.Sprintf("jobs: the input of service %q is no struct", s.Name))
	case s.Timeout < 0 || s.MaxAttempts < 0:
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
	s.call = func(ctx context.Context, input []byte, returned func()) result {
		var in In
		if err := json.Unmarshal(input, &in); err != nil {
			return failing(codeInvalidInput, "invalid input: %s", err)
		}
		out, err := fn(ctx, in)
		returned()
		if err != nil {
			return resultOf(err)
		}
		return encodeOutput(out)
	}
	if r.byName == nil {
		r.byName = make(map[string]*Service)
	}
	r.byName[s.Name] = &s
	r.services = append(r.services, &s)
}

// Get returns the service of that name, or nil.
func (r *Registry) Get(name string) *Service { return r.byName[name] }

// All yields the services in the order they were added.
func (r *Registry) All() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, s := range r.services {
			if !yield(s) {
				return
			}
		}
	}
}
