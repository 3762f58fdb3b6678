package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"coatcheck/jobs"
)

// busyRetry is when a viewer whom the server has no room for comes back.
// Browsers give up for good on 429 and 503.
const busyRetry = 15 * time.Second

// errOver ends a stream as it should end.
var errOver = errors.New("the stream is over")

// A stream is one viewer of a job, or of several.
type stream struct {
	api    *API
	info   *requestInfo
	places []*place
	many   bool // each event says of which job it is
	seats  []seat
	sink   *sink
	wire   atomic.Pointer[wire] // when it has one for itself

	woken chan struct{}
	leave atomic.Int64 // when the viewer must leave, in nanoseconds since 1970
	ping  time.Time    // when to say that the stream is alive
}

func (a *API) newStream(info *requestInfo, remoteAddr string) *stream {
	return &stream{api: a, info: info, seats: seatsOf(remoteAddr, info), woken: make(chan struct{}, 1)}
}

// wake makes the stream look whether there is something to do.
func (s *stream) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// leaveBy says when the viewer must leave, unless it must leave earlier.
func (s *stream) leaveBy(at time.Time) {
	for {
		before := s.leave.Load()
		if before != 0 && before <= at.UnixNano() {
			return
		}
		if s.leave.CompareAndSwap(before, at.UnixNano()) {
			s.wake()
			return
		}
	}
}

// close takes the stream off the hub and out of the crowd.
func (s *stream) close() {
	for _, p := range s.places {
		if p.sub != nil {
			p.sub.Close()
		}
	}
	s.api.crowd.leave(s)
}

// run writes the jobs' events until all jobs have ended, the viewer leaves
// or must leave.
func (s *stream) run(ctx context.Context) error {
	// The alarm is set again when it has rung or must ring earlier, not with
	// each event: that would cost more than the event.
	var due time.Time
	var rung atomic.Bool
	alarm := time.AfterFunc(0, func() { rung.Store(true); s.wake() })
	defer alarm.Stop()
	for {
		select {
		case <-s.woken:
		case <-ctx.Done():
			return ctx.Err()
		}
		next, err := s.step(ctx)
		if err != nil {
			return err
		}
		if rung.Swap(false) || next.Before(due) {
			due = next
			alarm.Reset(time.Until(next))
		}
	}
}

// chance returns a duration below d: viewers that come together shall not do
// so again.
func chance(d time.Duration) time.Duration {
	return rand.N(max(d, 1)) //nolint:gosec // it spreads load and keeps no secret
}

// open finds the viewer's places, and writes what brings it up to date. The
// viewer is in the crowd.
func (s *stream) open(r *http.Request, w http.ResponseWriter, format string) error {
	ctx := r.Context()
	limits := &s.api.crowd.limits
	s.sink = newSink(w, format, limits.Stall)
	s.leaveBy(time.Now().Add(limits.Age - chance(limits.Age/5)))
	ids := make([]string, len(s.places))
	for i, p := range s.places {
		ids[i] = p.id
	}
	subs, err := s.api.Hub.SubscribeAll(ctx, ids, s.wake)
	if err != nil {
		return errors.Join(err, s.sink.begin(busyRetry))
	}
	seen := true
	found := make([]jobs.Job, len(ids))
	for i, p := range s.places {
		p.sub = subs[i]
	}
	for i, p := range s.places {
		if p.over {
			continue
		}
		// The job is read after subscribing, so nothing falls in between.
		if found[i], err = s.load(ctx, p); err != nil {
			return errors.Join(err, s.sink.begin(busyRetry))
		}
		p.over = p.resume && found[i].Done && p.at.Compare(found[i].EventID()) >= 0
		seen = seen && p.over
	}
	if seen {
		w.WriteHeader(http.StatusNoContent)
		return errOver
	}
	if r.ProtoMajor == 1 {
		s.sink.header.Set("Connection", "close") // the wire is the stream's alone
	}
	if err := s.sink.begin(2*time.Second + chance(3*time.Second)); err != nil {
		return err
	}
	for i, p := range s.places {
		if !p.over {
			if err := s.place(ctx, p, &found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// step writes what there is, and returns when to look again at the latest.
func (s *stream) step(ctx context.Context) (next time.Time, err error) {
	now, leave := time.Now(), time.Unix(0, s.leave.Load())
	if !now.Before(leave) {
		return next, s.sendAway()
	}
	over, wrote := true, false
	next = leave
	for _, p := range s.places {
		if p.over {
			continue
		}
		took, err := s.take(ctx, p)
		if err != nil {
			return next, err
		}
		wrote, over = wrote || took, over && p.over
		if !p.doubt.IsZero() && p.doubt.Before(next) {
			next = p.doubt
		}
	}
	if err := s.keepAlive(now, wrote); err != nil {
		return next, err
	}
	if len(s.sink.buf) > 0 {
		if err := s.sink.flush(); err != nil {
			return next, err
		}
	}
	if over {
		return next, errOver
	}
	if s.ping.Before(next) {
		next = s.ping
	}
	return next, nil
}

// keepAlive says that the stream is alive when it was silent for long.
func (s *stream) keepAlive(now time.Time, wrote bool) error {
	if !wrote && now.Before(s.ping) {
		return nil
	}
	interval := s.api.crowd.limits.Ping
	first := s.ping.IsZero()
	s.ping = now.Add(interval*9/10 + chance(interval/5))
	if wrote || first {
		return nil
	}
	return s.sink.event("ping", "", []byte("{}")) // comments would be invisible to an EventSource
}

// sendAway ends a stream whose viewer is to come back soon.
func (s *stream) sendAway() error {
	s.sink.retry(time.Second + chance(time.Second))
	if err := s.sink.flush(); err != nil {
		return err
	}
	return errOver
}
