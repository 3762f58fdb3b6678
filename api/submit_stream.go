package api

import (
	"context"
	"net/http"
)

// submitAndWatch answers with the events of the job. When there is no room
// for another stream, nothing is submitted.
func (a *API) submitAndWatch(ctx context.Context, service string, req *submitRequest, format string) (*writtenAnswer, error) {
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
	return &writtenAnswer{Status: http.StatusOK, JobHeaders: answer.JobHeaders, Body: s.body(format)}, nil
}
