// Package watch follows server-sent events from afar, as a browser's
// EventSource does: it comes back when the connection breaks and goes on where
// it was, until the stream ends for good.
//
// It stands on the client of r3labs/sse and mends what that lacks: a stream
// that ends cleanly is continued, 204 ends it, the server's retry times are
// kept, an event that was cut off is discarded, a silent connection is given
// up, events may be large, and nothing runs on when the caller has left.
package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/r3labs/sse/v2"
	"gopkg.in/cenkalti/backoff.v1"
)

// MaxEvent is how large an event may be, in bytes.
const MaxEvent = 16 << 20

// DefaultIdle is when a connection counts as dead: the server says something
// every 15 seconds, and two of these have not come.
const DefaultIdle = 40 * time.Second

const (
	// defaultRetry is the wait before the first try to come back, until the
	// server says another.
	defaultRetry = time.Second
	// maxRetry bounds what a server can ask for.
	maxRetry = 5 * time.Minute
)

// DefaultMaxWait bounds the wait after failures in a row, which doubles.
const DefaultMaxWait = 30 * time.Second

// Reasons to come back.
var (
	errEnd    = errors.New("the connection was closed")
	errSilent = errors.New("the connection is silent")
)

// errGone says that there is nothing more, for good.
var errGone = errors.New("the stream has ended")

// ErrTooLarge is returned when an event is larger than [MaxEvent].
var ErrTooLarge = errors.New("the event is too large")

// A StatusError is an answer that is no stream of events.
type StatusError struct {
	StatusCode  int
	ContentType string
	Body        []byte // its first bytes

	after time.Duration // when to try again, if the server said so
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.StatusCode == http.StatusOK {
		return "expected a stream of events, got " + cmp.Or(e.ContentType, "something else")
	}
	return fmt.Sprintf("%d %s", e.StatusCode, http.StatusText(e.StatusCode))
}

// temporary reports whether another try may go better.
func (e *StatusError) temporary() bool {
	return e.StatusCode == http.StatusRequestTimeout || e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500
}

// An Event is one that has come.
type Event struct {
	// ID is the id of this event or, if it has none, of the newest one before
	// that had one: where the stream would go on.
	ID   string
	Name string
	Data []byte
}

// A Stream is where events come from. Only URL is needed.
type Stream struct {
	URL    string
	Header http.Header // goes with each request, such as credentials
	// After is the id of the newest event that is known already.
	After string
	// Client makes the requests. It must have no Timeout, which would end
	// each stream.
	Client *http.Client
	// Idle is how long nothing may come before the connection counts as dead.
	// Default [DefaultIdle].
	Idle time.Duration
	// MaxWait bounds the wait between tries, to which up to a quarter is
	// added, unless the server asks for a longer one. Default
	// [DefaultMaxWait].
	MaxWait time.Duration
	// Lost, if set, is told why the connection is lost and how long it takes
	// until the next try. An error that it returns ends the events.
	Lost func(err error, wait time.Duration) error
}

// Events yields what comes until the server says that there is no more, or the
// caller has seen enough. What can't be mended is yielded as the last: an
// error of ctx, a [*StatusError] or [ErrTooLarge].
func (s *Stream) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := follower{stream: s, yield: yield, last: s.After, retry: defaultRetry}
		for failures := 0; ; failures++ {
			f.heard = false
			err := f.connect(ctx)
			if f.left || errors.Is(err, errGone) {
				return
			}
			if f.heard {
				failures = 0
			}
			wait, ok := f.wait(err, failures)
			switch {
			case ctx.Err() != nil:
				err, ok = ctx.Err(), false
			case ok && s.Lost != nil:
				lostErr := s.Lost(err, wait)
				err, ok = cmp.Or(lostErr, err), lostErr == nil
			}
			if !ok {
				yield(Event{}, err)
				return
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				yield(Event{}, ctx.Err())
				return
			}
		}
	}
}

// A follower is on its way through a stream.
type follower struct {
	stream *Stream
	yield  func(Event, error) bool
	last   string // the newest id
	retry  time.Duration
	heard  bool // an event has come over this connection
	left   bool // the caller has seen enough
}

// connect hands on what comes over one connection.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := cmp.Or(f.stream.Idle, DefaultIdle)
	silence := time.AfterFunc(idle, func() { cancel(errSilent) })
	defer silence.Stop()
	client := sse.NewClient(f.stream.URL, sse.ClientMaxBufferSize(2*MaxEvent))
	client.Connection = cmp.Or(f.stream.Client, http.DefaultClient)
	client.ReconnectStrategy = new(backoff.StopBackOff) // coming back is our business
	for name := range f.stream.Header {
		client.Headers[name] = f.stream.Header.Get(name)
	}
	if f.last != "" {
		client.LastEventID.Store([]byte(f.last))
	}
	client.ResponseValidator = func(_ *sse.Client, resp *http.Response) error {
		if err := check(resp); err != nil {
			resp.Body.Close()
			return err
		}
		resp.Body = &whole{body: resp.Body, idle: idle, silence: silence}
		return nil
	}
	err := client.SubscribeRawWithContext(ctx, func(e *sse.Event) {
		if !f.left && ctx.Err() == nil && !f.take(e) {
			f.left = true
			cancel(nil)
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return cmp.Or(err, errEnd)
}

// take hands on an event and returns whether the caller wants more.
func (f *follower) take(e *sse.Event) bool {
	if ms, err := strconv.ParseUint(string(e.Retry), 10, 31); err == nil {
		f.retry = min(time.Duration(ms)*time.Millisecond, maxRetry)
	}
	f.last = string(e.ID)
	if len(e.Data) == 0 {
		return true
	}
	f.heard = true
	return f.yield(Event{ID: f.last, Name: cmp.Or(string(e.Event), "message"), Data: e.Data}, nil)
}

// wait returns how long to wait after an error, and whether that helps.
func (f *follower) wait(err error, failures int) (time.Duration, bool) {
	var after time.Duration
	if e, ok := errors.AsType[*StatusError](err); ok {
		if !e.temporary() {
			return 0, false
		}
		after = e.after
	}
	if errors.Is(err, ErrTooLarge) {
		return 0, false // it would be again
	}
	wait := min(f.retry<<min(failures, 10), max(f.retry, cmp.Or(f.stream.MaxWait, DefaultMaxWait)))
	wait += rand.N(wait/4 + 1) //nolint:gosec // chance keeps viewers from coming back together, it keeps no secret
	return max(wait, after), true
}

// check returns an error unless the answer is a stream.
func check(resp *http.Response) error {
	if resp.StatusCode == http.StatusNoContent {
		return errGone
	}
	contentType := resp.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(contentType); resp.StatusCode == http.StatusOK && err == nil && media == "text/event-stream" {
		return nil
	}
	e := &StatusError{StatusCode: resp.StatusCode, ContentType: contentType}
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil {
		e.after = min(time.Duration(n)*time.Second, maxRetry)
	}
	e.Body, _ = io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what has come tells enough
	return e
}
