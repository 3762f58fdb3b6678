package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"coatcheck/api/limits"
	"coatcheck/api/problem"
	"coatcheck/jobs"
)

type resultRequest struct {
	Job         string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	IfNoneMatch string `header:"If-None-Match" doc:"With the ETag of the last answer: 304 if the output is the same."`
}

type resultResponse struct {
	Status      int
	ContentType string `header:"Content-Type"`
	RetryAfter  string `header:"Retry-After"`
	ETag        string `header:"ETag"`
	Body        func(huma.Context)
}

type logResponse struct {
	ContentType string `header:"Content-Type"`
	Truncated   string `header:"Log-Truncated" doc:"true when older lines are gone."`
	Body        []byte
}

func (a *API) getResult(ctx context.Context, req *resultRequest) (*resultResponse, error) {
	job, err := a.FindJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	if file, ok := job.OutputAsFile(); ok {
		return &resultResponse{Body: func(hc huma.Context) {
			r, w := humachi.Unwrap(hc)
			a.serveFile(w, r, &job, file)
		}}, nil
	}
	if accepted(InfoOf(ctx).accept(), jsonType, problem.MediaType) == "" {
		return nil, problem.New("not-acceptable", "this output is application/json")
	}
	if job.Status == jobs.Succeeded && matchesETag(req.IfNoneMatch, job.ETag()) {
		return resultOf(http.StatusNotModified, job.ETag(), nil), nil // without reading the output
	}
	if err := a.LoadOutput(ctx, &job); err != nil {
		return nil, err
	}
	switch {
	case !job.Done:
		body, err := renderJob(&job)
		response := resultOf(http.StatusAccepted, job.ETag(), body)
		response.RetryAfter = retryAfterAge(time.Since(job.CreatedAt.Time))
		return response, err
	case job.Status == jobs.Succeeded:
		return resultOf(http.StatusOK, job.ETag(), append(job.Output, '\n')), nil
	default:
		return nil, problem.New("job-"+string(job.Status), job.Error.Message)
	}
}

// resultOf returns a response with a JSON body, or without a body if that is nil.
func resultOf(status int, etag string, body []byte) *resultResponse {
	response := &resultResponse{Status: status, ETag: etag}
	if body != nil {
		response.ContentType = jsonType
	}
	response.Body = func(hc huma.Context) {
		hc.SetStatus(status)
		if body != nil {
			_, _ = hc.BodyWriter().Write(body) // a failure means that the client has disconnected
		}
	}
	return response
}

func (a *API) getLog(ctx context.Context, req *jobRef) (*logResponse, error) {
	job, err := a.loadJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	text, truncated, err := a.Queue.Log(ctx, job.ID)
	if err != nil {
		return nil, err
	}
	response := &logResponse{ContentType: "text/plain; charset=utf-8", Body: []byte(text)}
	if truncated {
		response.Truncated = "true"
	}
	return response, nil
}

// LoadOutput reads the output of a job that was read without it because the
// output is large. It waits for a permit, which is released at the end of the
// request.
func (a *API) LoadOutput(ctx context.Context, job *jobs.Job) error {
	info := InfoOf(ctx)
	release, err := a.acquireOutput(ctx, info, job)
	if release != nil {
		info.onEnd = append(info.onEnd, release)
	}
	return err
}

// acquireOutput is [API.LoadOutput] for callers that release the permit
// themselves. If the job has no large output, no permit is needed and release
// is nil.
func (a *API) acquireOutput(ctx context.Context, info *RequestInfo, job *jobs.Job) (release func(), err error) {
	if !job.OutputOmitted {
		return nil, nil
	}
	var closer io.Closer
	if info.conn != nil {
		closer = info.conn
	}
	if release, err = a.outputs.Acquire(ctx, limits.AddressOf(info.remoteAddr), closer); err != nil {
		return nil, err
	}
	if job.Output, err = a.Queue.Output(ctx, job.ID); err != nil {
		release()
		return nil, err
	}
	job.OutputOmitted = false
	return release, nil
}
