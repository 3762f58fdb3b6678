package api

import (
	"context"
	"net/http"
)

// submitAndWatch submits a job and responds with its events. If a stream limit
// is reached, it does not submit the job.
func (a *API) submitAndWatch(
	ctx context.Context, service string, req *submitRequest, format string,
) (*renderedResponse, error) {
	info := InfoOf(ctx)
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
	response := a.submittedResponse(ctx, job)
	response.setReplayed(replayed)
	response.ETag, response.RetryAfter = "", "" // they describe the job, not the stream
	return &renderedResponse{Status: http.StatusOK, JobHeaders: response.JobHeaders, Body: s.body(format)}, nil
}
