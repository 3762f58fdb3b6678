package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"coatcheck/api/conn"
	"coatcheck/api/document"
	"coatcheck/api/limits"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/schema"
)

// Resumption has the parameters for resuming a stream. It is exported because
// huma reads it by reflection.
type Resumption struct {
	LastEventID string `header:"Last-Event-ID" doc:"Go on after this event."`
	After       string `query:"after" doc:"The same, for callers that can't set the header, which wins."`
	// Names used by polyfills of EventSource.
	LastEventIDQuery string `query:"last_event_id" doc:"The same as after."`
	LastEventIDCamel string `query:"lastEventId" doc:"The same as after."`
}

type eventsRequest struct {
	Job string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	Resumption
}

type multiEventsRequest struct {
	Jobs []string `query:"job,explode" required:"true" nullable:"false" minItems:"1" maxItems:"100" doc:"The jobs: their ids (with credentials) or their tokens (without). Can be repeated."`
	Resumption
}

// addEvents adds the operations that stream the events of jobs.
func (a *API) addEvents() {
	streams := func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "The events, as they happen.", Content: document.StreamTypes()}
		op.Responses["204"] = &huma.Response{Description: "The caller has seen the last event."}
	}
	register(a, operation{
		id: "stream-events", method: http.MethodGet, path: "/v1/jobs/{job}/events", summary: "Watch a job",
		access: tokenOrUser, tag: "jobs", offers: []string{eventStream, ndjson}, more: streams,
		description: "Server-Sent Events (WHATWG HTML, section 9.2): `snapshot`, `status`, `progress`, `log`, `output`, `ping`, and `end` as the last one. " +
			"A stream that breaks goes on where it was. With `Accept: application/x-ndjson`, the same events as lines {\"id\", \"event\", \"data\"}.",
	}, func(ctx context.Context, req *eventsRequest) (*huma.StreamResponse, error) {
		return a.streamEvents(ctx, []string{req.Job}, false, &req.Resumption)
	})
	register(a, operation{
		id: "stream-many-events", method: http.MethodGet, path: "/v1/events",
		summary: "Watch many jobs", access: tokenOrUser, tag: "jobs",
		offers: []string{eventStream, ndjson}, more: streams,
		description: "The events of up to 100 jobs, in one stream: browsers allow six connections to a server. The data of each event has the job's id in `job_id`. " +
			"Each job has its `end`; after the last one the stream ends. An event's `id` says where the caller is in the events of all jobs, " +
			"in the order in which they are asked for, and is good for the same list of jobs only.",
	}, func(ctx context.Context, req *multiEventsRequest) (*huma.StreamResponse, error) {
		return a.streamEvents(ctx, req.Jobs, true, &req.Resumption)
	})
}

// streamEvents responds with the events of the jobs. Errors are returned before
// the stream starts.
func (a *API) streamEvents(
	ctx context.Context, refs []string, multi bool, req *Resumption,
) (*huma.StreamResponse, error) {
	info := InfoOf(ctx)
	format := accepted(info.accept(), eventStream, ndjson)
	if format == "" {
		return nil, problem.New("not-acceptable", "events are text/event-stream or application/x-ndjson")
	}
	s := a.newStream(info.forStream(), info.remoteAddr)
	s.multi = multi
	err := s.findJobs(ctx, refs, cmp.Or(req.LastEventID, req.After, req.LastEventIDQuery, req.LastEventIDCamel))
	switch {
	case err != nil && (format == ndjson || knownProblem(err) != nil):
		return nil, err
	case err != nil && ctx.Err() != nil:
		return a.respondBusy(), nil //nolint:nilerr // the client has disconnected
	case err != nil:
		a.Logger.ErrorContext(ctx, "stream not started", "request_id", info.ID, "err", err)
		return a.respondBusy(), nil
	case info.method == http.MethodHead:
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			_, w := humachi.Unwrap(hc)
			newEventWriter(w, format, a.streams.Limits.Stall).begin(busyRetry) //nolint:errcheck // only headers
		}}, nil
	}
	for _, c := range s.cursors {
		s.quotas = append(s.quotas, limits.Quota{Limit: "job", Key: c.id})
	}
	if limit := a.streams.Acquire(s); limit != "" && format == ndjson {
		return nil, streamLimitProblem(limit)
	} else if limit != "" {
		return a.respondBusy(), nil
	}
	return &huma.StreamResponse{Body: s.body(format)}, nil
}

// findJobs creates a cursor for each job and restores its position. If the
// record of a job was removed since, a client that resumes a stream of several
// jobs gets the events of the other jobs.
func (s *stream) findJobs(ctx context.Context, refs []string, last string) error {
	errs := make(map[*streamCursor]error)
	for i, ref := range refs {
		job, err := s.api.loadJob(ctx, ref)
		if p := knownProblem(err); p != nil && s.multi {
			p.Errors = []schema.ProblemError{{Location: fmt.Sprintf("query.job[%d]", i), Message: p.Detail}}
			job.ID, _, _ = strings.Cut(ref, ".")
			err = errors.Join(err, p)
		}
		removed := s.multi && (errors.Is(err, jobs.ErrRemoved) || errors.Is(err, jobs.ErrNotFound))
		duplicate := slices.ContainsFunc(s.cursors, func(c *streamCursor) bool { return c.id == job.ID })
		if err != nil && (!removed || duplicate) {
			return err
		}
		if !duplicate {
			c := &streamCursor{id: job.ID, ref: ref}
			s.cursors = append(s.cursors, c)
			errs[c] = err
		}
	}
	s.restoreCursors(last)
	for _, c := range s.cursors {
		if c.ended = errs[c] != nil; c.ended && !c.resume {
			return errs[c]
		}
	}
	return nil
}

// streamLimitProblem returns the problem for an exceeded stream limit.
func streamLimitProblem(limit string) *problem.Problem {
	if limit == "draining" {
		return problem.New("shutting-down", "the server is shutting down; try again").RetryAfter(busyRetry)
	}
	return problem.New("unavailable",
		"too many event streams are open (limits."+limit+"); try again").RetryAfter(busyRetry)
}

// respondBusy asks an EventSource to reconnect later. On any other response, an
// EventSource stops reconnecting.
func (a *API) respondBusy() *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		err := newEventWriter(w, eventStream, a.streams.Limits.Stall).begin(busyRetry)
		if err != nil && r.Context().Err() == nil {
			a.Logger.DebugContext(r.Context(), "busy response not sent", "err", err)
		}
	}}
}

// body returns the response body with the stream's events. The stream must have
// been acquired from the limiter. It is released when it ends.
func (s *stream) body(format string) func(huma.Context) {
	return func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		detached := false
		defer func() { // also after a panic
			if !detached {
				s.close()
			}
		}()
		err := s.open(r, w, format)
		if err == nil {
			if detached = s.detach(r); detached {
				return
			}
			err = s.run(r.Context())
		}
		s.logEnd(err)
	}
}

// detach hijacks the connection and continues the stream in a goroutine of its
// own, so that the handler can return. It reports false if the connection
// cannot be hijacked.
func (s *stream) detach(r *http.Request) bool {
	response, ok := s.writer.out.(responseOutput)
	if !ok {
		return false
	}
	hijacked, ok := conn.Hijack(r, response)
	if !ok {
		return false
	}
	InfoOf(r.Context()).detached = true // s.info is logged at the end of the stream instead
	s.info.pattern = chi.RouteContext(r.Context()).RoutePattern()
	s.writer.out, s.writer.header = hijacked, nil
	s.conn.Store(hijacked)
	go hijacked.Serve(s.runDetached)
	return true
}

// runDetached runs the stream on the hijacked connection, and reports whether its events are
// complete.
func (s *stream) runDetached(ctx context.Context) (complete bool) {
	defer s.close()
	defer func() { s.api.recordRequest(s.info, http.StatusOK, s.writer.sent) }()
	defer func() {
		if v := recover(); v != nil {
			s.api.logPanic(ctx, s.info, v)
		}
	}()
	err := s.run(ctx)
	s.logEnd(err)
	return errors.Is(err, errStreamEnded)
}

// logEnd logs the error with which the stream has ended, unless the stream is
// complete or the client has disconnected.
func (s *stream) logEnd(err error) {
	if !errors.Is(err, errStreamEnded) && !errors.Is(err, context.Canceled) { // the client has disconnected
		s.api.Logger.Debug("stream failed", "request_id", s.info.ID, "err", err)
	}
}
