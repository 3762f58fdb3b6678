package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// jobBody writes the job of an answer.
func (a *API) jobBody(answer *jobAnswer) func(huma.Context) {
	return func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetStatus(answer.Status)
		if err := a.huma.Marshal(hc.BodyWriter(), "application/json", answer.Body); err != nil && hc.Context().Err() == nil {
			a.Logger.DebugContext(hc.Context(), "answer not sent", "err", err)
		}
	}
}

// submitAndWatch answers with the events of the job. When there is no room
// for another stream, nothing is submitted.
func (a *API) submitAndWatch(ctx context.Context, service string, req *submitRequest, format string) (*submitAnswer, error) {
	info := infoOf(ctx)
	s := a.newStream(info.forStream(), info.remoteAddr)
	if limit := a.crowd.enter(s); limit != "" {
		return nil, noRoom(limit)
	}
	admitted := false
	defer func() { // also after a panic
		if !admitted {
			a.crowd.leave(s)
		}
	}()
	job, replayed, err := a.admit(ctx, service, req)
	if err != nil {
		return nil, err
	}
	admitted = true
	s.places = []*place{{id: job.ID, ref: string(job.Token)}}
	answer := a.submitted(ctx, job)
	answer.replay(replayed)
	answer.ETag, answer.RetryAfter = "", "" // of the job, not of the stream
	return &submitAnswer{Status: http.StatusOK, JobHeaders: answer.JobHeaders, Body: s.body(format)}, nil
}
