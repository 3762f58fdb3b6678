package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"coatcheck/jobs"
)

type resultResponse struct {
	Status      int
	ContentType string `header:"Content-Type"`
	RetryAfter  string `header:"Retry-After"`
	ETag        string `header:"ETag"`
	Body        []byte
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
	if job.Status == jobs.Succeeded && matchesETag(req.IfNoneMatch, job.ETag()) {
		return &resultResponse{Status: http.StatusNotModified, ETag: job.ETag()}, nil // without reading the output
	}
	if err := a.LoadOutput(ctx, &job); err != nil {
		return nil, err
	}
	response := &resultResponse{
		Status: http.StatusOK, ContentType: "application/json", ETag: job.ETag(), Body: append(job.Output, '\n'),
	}
	switch {
	case !job.Done:
		response.Status = http.StatusAccepted
		response.RetryAfter = retryAfterAge(time.Since(job.CreatedAt.Time))
		response.Body, err = json.Marshal(job)
		return response, err
	case job.Status == jobs.Succeeded:
		return response, nil
	default:
		return nil, NewProblem("job-"+string(job.Status), job.Error.Message)
	}
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
