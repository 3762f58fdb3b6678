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
var errStreamEnded = errors.New("the stream is over")

// A stream is one viewer of a job, or of several.
type stream struct {
	api     *API
	info    *requestInfo
	cursors []*streamCursor
	multi   bool // each event says of which job it is
	quotas  []quota
	writer  *eventWriter
	conn    atomic.Pointer[hijackedConn] // when it has one for itself

	wakeups  chan struct{}
	deadline atomic.Int64 // when the viewer must leave, in nanoseconds since 1970
	nextPing time.Time    // when to say that the stream is alive
}

func (a *API) newStream(info *requestInfo, remoteAddr string) *stream {
	return &stream{api: a, info: info, quotas: quotasOf(remoteAddr, info), wakeups: make(chan struct{}, 1)}
}

// wake makes the stream look whether there is something to do.
func (s *stream) wake() {
	select {
	case s.wakeups <- struct{}{}:
	default:
	}
}

// leaveBy says when the viewer must leave, unless it must leave earlier.
func (s *stream) endBy(at time.Time) {
	for {
		before := s.deadline.Load()
		if before != 0 && before <= at.UnixNano() {
			return
		}
		if s.deadline.CompareAndSwap(before, at.UnixNano()) {
			s.wake()
			return
		}
	}
}

// close takes the stream off the hub and out of the crowd.
func (s *stream) close() {
	for _, c := range s.cursors {
		if c.sub != nil {
			c.sub.Close()
		}
	}
	s.api.streams.release(s)
}

// run writes the jobs' events until all jobs have ended, the viewer leaves
// or must leave.
func (s *stream) run(ctx context.Context) error {
	// The alarm is set again when it has rung or must ring earlier, not with
	// each event: that would cost more than the event.
	var due time.Time
	var fired atomic.Bool
	timer := time.AfterFunc(0, func() { fired.Store(true); s.wake() })
	defer timer.Stop()
	for {
		select {
		case <-s.wakeups:
		case <-ctx.Done():
			return ctx.Err()
		}
		next, err := s.step(ctx)
		if err != nil {
			return err
		}
		if fired.Swap(false) || next.Before(due) {
			due = next
			timer.Reset(time.Until(next))
		}
	}
}

// chance returns a duration below d: viewers that come together shall not do
// so again.
func jitter(d time.Duration) time.Duration {
	return rand.N(max(d, 1)) //nolint:gosec // it spreads load and keeps no secret
}

// open finds the viewer's places, and writes what brings it up to date. The
// viewer is in the crowd.
func (s *stream) open(r *http.Request, w http.ResponseWriter, format string) error {
	ctx := r.Context()
	limits := &s.api.streams.limits
	s.writer = newEventWriter(w, format, limits.Stall)
	s.endBy(time.Now().Add(limits.Age - jitter(limits.Age/5)))
	ids := make([]string, len(s.cursors))
	for i, c := range s.cursors {
		ids[i] = c.id
	}
	subs, err := s.api.Hub.SubscribeAll(ctx, ids, s.wake)
	if err != nil {
		return errors.Join(err, s.writer.begin(busyRetry))
	}
	upToDate := true
	found := make([]jobs.Job, len(ids))
	for i, c := range s.cursors {
		c.sub = subs[i]
	}
	for i, c := range s.cursors {
		if c.ended {
			continue
		}
		// The job is read after subscribing, so nothing falls in between.
		if found[i], err = s.loadVisibleJob(ctx, c); err != nil {
			return errors.Join(err, s.writer.begin(busyRetry))
		}
		c.ended = c.resume && found[i].Done && c.at.Compare(found[i].EventID()) >= 0
		upToDate = upToDate && c.ended
	}
	if upToDate {
		w.WriteHeader(http.StatusNoContent)
		return errStreamEnded
	}
	if r.ProtoMajor == 1 {
		s.writer.header.Set("Connection", "close") // the wire is the stream's alone
	}
	if err := s.writer.begin(2*time.Second + jitter(3*time.Second)); err != nil {
		return err
	}
	for i, c := range s.cursors {
		if !c.ended {
			if err := s.resumeOrSnapshot(ctx, c, &found[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// step writes what there is, and returns when to look again at the latest.
func (s *stream) step(ctx context.Context) (next time.Time, err error) {
	now, deadline := time.Now(), time.Unix(0, s.deadline.Load())
	if !now.Before(deadline) {
		return next, s.endWithRetry()
	}
	ended, wrote := true, false
	next = deadline
	for _, c := range s.cursors {
		if c.ended {
			continue
		}
		wroteEvents, err := s.writeEvents(ctx, c)
		if err != nil {
			return next, err
		}
		wrote, ended = wrote || wroteEvents, ended && c.ended
		if !c.aheadUntil.IsZero() && c.aheadUntil.Before(next) {
			next = c.aheadUntil
		}
	}
	if err := s.heartbeat(now, wrote); err != nil {
		return next, err
	}
	if len(s.writer.buf) > 0 {
		if err := s.writer.flush(); err != nil {
			return next, err
		}
	}
	if ended {
		return next, errStreamEnded
	}
	if s.nextPing.Before(next) {
		next = s.nextPing
	}
	return next, nil
}

// keepAlive says that the stream is alive when it was silent for long.
func (s *stream) heartbeat(now time.Time, wrote bool) error {
	if !wrote && now.Before(s.nextPing) {
		return nil
	}
	interval := s.api.streams.limits.Ping
	first := s.nextPing.IsZero()
	s.nextPing = now.Add(interval*9/10 + jitter(interval/5))
	if wrote || first {
		return nil
	}
	return s.writer.appendEvent("ping", "", []byte("{}")) // comments would be invisible to an EventSource
}

// sendAway ends a stream whose viewer is to come back soon.
func (s *stream) endWithRetry() error {
	s.writer.appendRetry(time.Second + jitter(time.Second))
	if err := s.writer.flush(); err != nil {
		return err
	}
	return errStreamEnded
}
