package api

import (
	"context"
	"net/http"
)

// submitAndWatch answers with the events of the job. When there is no room
// for another stream, nothing is submitted.
func (a *API) submitAndWatch(ctx context.Context, service string, req *submitRequest, format string) (*renderedAnswer, error) {
	info := infoOf(ctx)
	s := a.newStream(info.forStream(), info.remoteAddr)
	if limit := a.streams.acquire(s); limit != "" {
		return nil, streamLimitProblem(limit)
	}
	admitted := false
	defer func() { // also after a panic
		if !admitted {
			a.streams.release(s)
		}
	}()
	job, replayed, err := a.createJob(ctx, service, req)
	if err != nil {
		return nil, err
	}
	admitted = true
	s.cursors = []*streamCursor{{id: job.ID, ref: string(job.Token)}}
	answer := a.submittedAnswer(ctx, job)
	answer.setReplayed(replayed)
	answer.ETag, answer.RetryAfter = "", "" // of the job, not of the stream
	return &renderedAnswer{Status: http.StatusOK, JobHeaders: answer.JobHeaders, Body: s.body(format)}, nil
}
