package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/limits"
	"coatcheck/jobs"
)

// jobRef identifies a job in a path.
type jobRef struct {
	Job string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
}

type getRequest struct {
	Job         string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	IfNoneMatch string `header:"If-None-Match" doc:"With the ETag of the last answer: 304 unless the job has changed."`
	Wait        int    `query:"wait" minimum:"0" maximum:"60" doc:"Wait up to this many seconds for a change, or, without If-None-Match, for the job's end. More than 55 counts as 55: proxies commonly give up after 60."`
}

type retryRequest struct {
	Job            string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	IdempotencyKey string `header:"Idempotency-Key" doc:"A retry that comes again with its key finds the first one's job, as long as its record is kept; for 24 hours after that, it gets a 410."`
}

type deleteRequest struct {
	Job   string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	Force bool   `query:"force" doc:"Also while a callback is owed, which is then never made."`
}

type cancelRequest struct {
	Job     string `path:"job" doc:"The job's id (with credentials) or its token (without)."`
	RawBody []byte `contentType:"application/json"`
}

// cancelBody is the body of a cancelRequest.
type cancelBody struct {
	Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Becomes the message of the job's error." example:"no longer needed"`
}

// addJobs adds the operations that list, read and change jobs.
func (a *API) addJobs() {
	register(a, operation{
		id: "list-jobs", method: http.MethodGet, path: "/v1/jobs", summary: "List jobs, newest first", access: userOnly,
		tag:         "jobs",
		description: "List items have no input and no output: output is null, and output_omitted is true if there is one to fetch from result_url.",
	}, a.listJobs)
	register(a, operation{
		id: "get-job", method: http.MethodGet, path: "/v1/jobs/{job}", summary: "Get a job", access: tokenOrUser,
		tag: "jobs",
		more: func(op *huma.Operation) {
			op.Responses["200"] = &huma.Response{
				Description: "OK",
				Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Job"}}},
			}
			op.Responses["304"] = &huma.Response{Description: "The job has not changed."}
		},
	}, a.getJob)
	register(a, operation{
		id: "get-result", method: http.MethodGet, path: "/v1/jobs/{job}/result", summary: "Get a job's output",
		access: tokenOrUser, tag: "jobs", offers: []string{anyType},
		description: fmt.Sprintf("If the output is a file, this is the file itself, with byte ranges (RFC 9110, section 14) "+
			"and a strong ETag. Else it is JSON of at most %d bytes.", a.Queue.MaxOutput),
		more: func(op *huma.Operation) {
			op.Responses["304"] = &huma.Response{Description: "The output has not changed."}
			op.Responses["206"] = &huma.Response{Description: "A part of the file, for a request with Range."}
			op.Responses["416"] = &huma.Response{Description: "The file has no such part."}
			op.Responses["200"] = &huma.Response{
				Description: "The output.",
				Content: map[string]*huma.MediaType{
					"application/json": {Schema: &huma.Schema{}},
					"*/*":              {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
				},
			}
			op.Responses["202"] = &huma.Response{
				Description: "The job has not ended; ask again after Retry-After.",
				Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Job"}}},
			}
		},
	}, a.getResult)
	register(a, operation{
		id: "get-upload", method: http.MethodGet, path: "/v1/jobs/{job}/uploads/{upload}", summary: "Get a file of a job's input",
		access: userOnly, tag: "jobs", offers: []string{anyType}, more: describeFile,
		description: "One of the files in uploads, with byte ranges (RFC 9110, section 14) and a strong ETag.",
	}, a.getUpload)
	register(a, operation{
		id: "get-log", method: http.MethodGet, path: "/v1/jobs/{job}/log", summary: "Get a job's log",
		access: tokenOrUser, tag: "jobs", offers: []string{"text/plain"},
		description: "The newest 256 KiB of it, a line each with its time and level.",
		more: func(op *huma.Operation) {
			op.Responses["200"] = &huma.Response{
				Description: "The log.",
				Content:     map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}},
			}
		},
	}, a.getLog)
	register(a, operation{
		id: "cancel-job", method: http.MethodPost, path: "/v1/jobs/{job}/cancel", summary: "Cancel a job",
		access: userOnly, tag: "jobs",
		description: "A job that waits is canceled at once (200); a running one is asked to stop (202).",
		more: func(op *huma.Operation) {
			op.Responses["202"] = &huma.Response{
				Description: "The job is running and was asked to stop.",
				Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Job"}}},
			}
		},
	}, a.cancelJob)
	register(a, operation{
		id: "retry-job", method: http.MethodPost, path: "/v1/jobs/{job}/retry", summary: "Retry a job that has ended",
		access: userOnly, tag: "jobs",
		description: "Makes a new job with the same input and options, but for delay and run_at; its retry_of names the old one, which stays as it is.",
		status:      http.StatusAccepted,
	}, a.retryJob)
	register(a, operation{
		id: "delete-job", method: http.MethodDelete, path: "/v1/jobs/{job}", summary: "Delete a job that has ended",
		access: userOnly, tag: "jobs",
		description: "Erases input, output, log, events and callbacks.", status: http.StatusNoContent,
	}, a.deleteJob)
}

// waitForJob waits until the job is as wanted, the wait is over or the server
// shuts down, and returns the current job. If too many requests wait already,
// it returns the job immediately.
func (a *API) waitForJob(
	ctx context.Context, job jobs.Job, wait time.Duration, wanted func(*jobs.Job) bool,
) (jobs.Job, error) {
	if wait <= 0 || wanted(&job) {
		return job, nil
	}
	info := InfoOf(ctx)
	s := a.newStream(info, info.remoteAddr)
	s.quotas = append(s.quotas, limits.Quota{Limit: "job", Key: job.ID})
	if a.streams.Acquire(s) != "" {
		return job, nil
	}
	defer a.streams.Release(s)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(a.draining, cancel)()
	sub, err := a.Hub.Subscribe(ctx, job.ID)
	if err != nil {
		return job, nil // respond with the current state of the job
	}
	defer sub.Close()
	for timedOut := false; ; {
		if job, err = a.Queue.Get(context.WithoutCancel(ctx), job.ID); err != nil {
			return job, err
		}
		if timedOut || wanted(&job) {
			return job, nil
		}
		sub.Start(job.EventID())
		_, _, err = sub.Next(ctx)
		timedOut = err != nil // then read the job one last time
	}
}

func (a *API) getJob(ctx context.Context, req *getRequest) (*renderedResponse, error) {
	job, err := a.FindJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	unchanged := func(j *jobs.Job) bool { return matchesETag(req.IfNoneMatch, j.ETag()) }
	if wait := min(time.Duration(req.Wait)*time.Second, maxWait); wait > 0 && !job.Done {
		job, err = a.waitForJob(ctx, job, wait, func(j *jobs.Job) bool {
			if req.IfNoneMatch == "" {
				return j.Done
			}
			return !unchanged(j)
		})
		if err != nil {
			return nil, err
		}
		job = InfoOf(ctx).visibleJob(req.Job, job)
	}
	response := &jobResponse{Status: http.StatusOK}
	if unchanged(&job) {
		response.Status = http.StatusNotModified
	} else if err := a.LoadOutput(ctx, &job); err != nil {
		return nil, err
	}
	response.fill(job)
	return response.render()
}

// matchesETag reports whether an If-None-Match header matches the ETag (RFC
// 9110, section 13.1.2).
func matchesETag(header, tag string) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for candidate := range strings.SplitSeq(header, ",") {
		if strings.TrimPrefix(strings.TrimSpace(candidate), "W/") == strings.TrimPrefix(tag, "W/") {
			return true // weak comparison, section 8.8.3.2
		}
	}
	return false
}

func (a *API) cancelJob(ctx context.Context, req *cancelRequest) (*jobResponse, error) {
	job, err := a.OwnedJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	body, err := bodyOf[cancelBody](ctx, a, req.RawBody)
	if err != nil {
		return nil, err
	}
	if job, err = a.Queue.Cancel(ctx, job.ID, body.Reason); err != nil {
		return nil, err
	}
	response := &jobResponse{Status: http.StatusAccepted}
	response.fill(InfoOf(ctx).visibleJob(job.ID, job))
	if job.Done {
		response.Status = http.StatusOK
	}
	return response, nil
}

func (a *API) retryJob(ctx context.Context, req *retryRequest) (*jobResponse, error) {
	job, err := a.OwnedJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	info := InfoOf(ctx)
	key, err := info.idempotencyKey()
	if err != nil {
		return nil, err
	}
	job, replayed, err := a.SubmitJob(ctx, func() (jobs.Submission, error) { return job.Again(info.BaseURL, key) })
	if err != nil {
		return nil, err
	}
	response := a.submittedResponse(ctx, job)
	response.setReplayed(replayed)
	return response, nil
}

func (a *API) deleteJob(ctx context.Context, req *deleteRequest) (*struct{}, error) {
	job, err := a.OwnedJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	if err := a.Queue.Delete(ctx, job.ID, req.Force); err != nil {
		return nil, err
	}
	return nil, nil //nolint:nilnil // a response without a body
}
