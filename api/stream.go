package api

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"coatcheck/api/conn"
	"coatcheck/api/limits"
	"coatcheck/jobs"
)

// busyRetry is when a client reconnects after a stream limit was reached. The
// response is an empty stream with this reconnection time, because browsers
// stop reconnecting after 429 or 503.
const busyRetry = 15 * time.Second

// errStreamEnded means that the stream has ended as intended.
var errStreamEnded = errors.New("the stream has ended")

// A stream sends the events of one or more jobs to a client. Long polls use it
// too, to count towards the stream limits.
type stream struct {
	api     *API
	info    *RequestInfo
	cursors []*streamCursor
	multi   bool // each event has a job_id
	quotas  []limits.Quota
	writer  *eventWriter
	conn    atomic.Pointer[conn.Hijacked] // set once the connection is hijacked

	wakeups  chan struct{}
	deadline atomic.Int64 // when the stream must end, as Unix time in nanoseconds; 0 for not set
	nextPing time.Time    // when to send the next heartbeat
}

func (a *API) newStream(info *RequestInfo, remoteAddr string) *stream {
	return &stream{api: a, info: info, quotas: limits.QuotasOf(remoteAddr, info.User.Name), wakeups: make(chan struct{}, 1)}
}

// wake makes run check for new events and deadlines.
func (s *stream) wake() {
	select {
	case s.wakeups <- struct{}{}:
	default:
	}
}

// EndBy implements [limits.Stream].
func (s *stream) EndBy(at time.Time) {
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

// Quotas implements [limits.Stream].
func (s *stream) Quotas() []limits.Quota { return s.quotas }

// Connection implements [limits.Stream].
func (s *stream) Connection() *conn.Connection { return s.info.conn }

// Abort implements [limits.Stream].
func (s *stream) Abort() {
	if hijacked := s.conn.Load(); hijacked != nil {
		hijacked.Abort()
	}
}

// close closes the subscriptions and releases the stream from the limiter.
func (s *stream) close() {
	for _, c := range s.cursors {
		if c.sub != nil {
			c.sub.Close()
		}
	}
	s.api.streams.Release(s)
}

// run sends events until all jobs have ended, the client disconnects or the
// stream's deadline passes.
func (s *stream) run(ctx context.Context) error {
	// The timer is reset only after it has fired or if it must fire earlier.
	// Resetting it for each event would cost more than the event.
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

// jitter returns a random duration below d, so that clients that connected at
// the same time do not reconnect at the same time.
func jitter(d time.Duration) time.Duration {
	return rand.N(max(d, 1)) //nolint:gosec // spreads load and is not a secret
}

// open subscribes to the jobs and writes the events or snapshots that bring the
// client up to date. The stream must have been acquired from the limiter.
func (s *stream) open(r *http.Request, w http.ResponseWriter, format string) error {
	ctx := r.Context()
	settings := &s.api.streams.Limits
	s.writer = newEventWriter(w, format, settings.Stall)
	s.EndBy(time.Now().Add(settings.Age - jitter(settings.Age/5)))
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
		// Read the job after subscribing, so that no event is missed in
		// between.
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
	if r.ProtoMajor == 1 && !conn.Reusable(r, s.writer.header) {
		s.writer.header.Set("Connection", "close") // the connection will be hijacked
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

// step sends the available events, and returns when it must run again at the
// latest.
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

// heartbeat adds a ping event if no event was written for the ping interval.
func (s *stream) heartbeat(now time.Time, wrote bool) error {
	if !wrote && now.Before(s.nextPing) {
		return nil
	}
	interval := s.api.streams.Limits.Ping
	first := s.nextPing.IsZero()
	s.nextPing = now.Add(interval*9/10 + jitter(interval/5))
	if wrote || first {
		return nil
	}
	return s.writer.appendEvent("ping", "", []byte("{}")) // an EventSource does not expose comments
}

// endWithRetry ends the stream and asks the client to reconnect soon.
func (s *stream) endWithRetry() error {
	s.writer.appendRetry(time.Second + jitter(time.Second))
	if err := s.writer.flush(); err != nil {
		return err
	}
	return errStreamEnded
}
