package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/document"
	"coatcheck/api/problem"
	"coatcheck/jobs"
)

// submitRequest is a submission.
type submitRequest struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"A submission that comes again with its key finds the first one's job, as long as its record is kept; for 24 hours after that, it gets a 410."`
	Prefer         string `header:"Prefer" doc:"wait=N waits up to N seconds (at most 55) for the job to end (RFC 7240)."`
	RawBody        []byte `contentType:"application/json"`
}

// JobHeaders are the headers of a response with a job. It is exported because
// huma reads it by reflection.
type JobHeaders struct {
	ETag              string `header:"ETag" doc:"The id of the job's newest event."`
	Location          string `header:"Location"`
	Link              string `header:"Link"`
	RetryAfter        string `header:"Retry-After" doc:"When to ask again, in seconds, if the job has not ended."`
	Replayed          string `header:"Idempotent-Replayed"`
	PreferenceApplied string `header:"Preference-Applied"`
}

// jobResponse is a response with a job.
type jobResponse struct {
	Status int
	JobHeaders
	Body jobs.Job
}

// addSubmit adds the operation that submits a job to the service.
func (a *API) addSubmit(s *jobs.Service) {
	register(a, operation{
		id: "submit-" + s.Name, method: http.MethodPost, path: "/v1/services/" + s.Name + "/jobs", tag: "services",
		summary: "Submit a job: " + s.Summary, access: userOnly, status: http.StatusAccepted,
		offers: []string{jsonType, eventStream, ndjson}, uploads: len(a.Validator.Files(s.Name)) > 0, middleware: a.readUploads(s.Name),
		more: func(op *huma.Operation) {
			job := map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Job"}}}
			op.Responses["202"] = &huma.Response{Description: http.StatusText(http.StatusAccepted), Content: job}
			op.Responses["200"] = &huma.Response{
				Description: "The job has ended within the time that Prefer: wait gave it. Or, with Accept: text/event-stream or application/x-ndjson, its events as they happen.",
				Content:     document.StreamTypes(),
			}
			maps.Copy(op.Responses["200"].Content, job)
			op.Callbacks = map[string]map[string]*huma.PathItem{"jobEvent": document.Callback(a.Validator.Registry)}
		},
	}, func(ctx context.Context, req *submitRequest) (*renderedResponse, error) {
		if format := accepted(InfoOf(ctx).accept(), "application/json", eventStream, ndjson); format == eventStream ||
			format == ndjson {
			return a.submitAndWatch(ctx, s.Name, req, format)
		}
		answer, err := a.submit(ctx, s.Name, req)
		if err != nil {
			return nil, err
		}
		return answer.render()
	})
	a.describeBody("/v1/services/"+s.Name+"/jobs", a.schemas.submits[s.Name])
	a.describeForm("/v1/services/"+s.Name+"/jobs", s.Name)
}

func (a *API) submit(ctx context.Context, service string, req *submitRequest) (*jobResponse, error) {
	job, replayed, err := a.createJob(ctx, service, req)
	if err != nil {
		return nil, err
	}
	applied := ""
	if wait, ok := waitPreference(InfoOf(ctx).header.Values("Prefer")); ok {
		if job, err = a.waitForJob(ctx, job, wait, func(j *jobs.Job) bool { return j.Done }); err != nil {
			return nil, err
		}
		applied = fmt.Sprintf("wait=%d", int(wait.Seconds()))
	}
	// The job exists, so an error now would make the client submit it again.
	if err := a.LoadOutput(ctx, &job); err != nil && knownProblem(err) == nil {
		a.Logger.WarnContext(ctx, "output omitted from the response", "request_id", InfoOf(ctx).ID, "err", err)
	}
	response := a.submittedResponse(ctx, job)
	response.setReplayed(replayed)
	if response.PreferenceApplied = applied; applied != "" && job.Done {
		response.Status = http.StatusOK
	}
	return response, nil
}

// createJob creates the job of a submission, or returns the job that the same
// idempotency key created before.
func (a *API) createJob(
	ctx context.Context, service string, req *submitRequest,
) (job jobs.Job, replayed bool, err error) {
	if _, err := a.Service(ctx, service); err != nil {
		return job, false, err
	}
	req.RawBody = withoutBOM(req.RawBody)
	return a.SubmitJob(ctx, func() (jobs.Submission, error) {
		info := InfoOf(ctx)
		s, err := a.Decode(ctx, service, info.header.Get("Content-Type"), req.RawBody)
		if err != nil {
			return s, err
		}
		s.Owner, s.BaseURL = info.User.Name, info.BaseURL
		if s.IdempotencyKey, err = info.idempotencyKey(); s.IdempotencyKey != "" {
			s.Fingerprint = fingerprint(ctx, req.RawBody)
			if info.form != nil {
				s.Fingerprint = fingerprint(ctx, info.form.fingerprinted)
			}
		}
		return s, err
	})
}

// submittedResponse returns the response to the submission of a job.
func (a *API) submittedResponse(ctx context.Context, job jobs.Job) *jobResponse {
	info := InfoOf(ctx)
	response := &jobResponse{Status: http.StatusAccepted}
	response.fill(job.Opened(info.BaseURL))
	response.Location = info.BaseURL + "/v1/jobs/" + job.ID
	return response
}

// setReplayed marks the response if the job was submitted before.
func (response *jobResponse) setReplayed(replayed bool) {
	if replayed {
		response.Replayed = "true"
	}
}

// SubmitJob submits the job that read returns, if the caller may. All
// submissions use it. Invalid submissions count towards the rate limit too.
func (a *API) SubmitJob(
	ctx context.Context, read func() (jobs.Submission, error),
) (job jobs.Job, replayed bool, err error) {
	info := InfoOf(ctx)
	if !info.maySubmit {
		if err := a.CheckMaySubmit(ctx); err != nil {
			return job, false, err
		}
	}
	defer func() {
		if err != nil {
			a.discard(info.form)
		}
	}()
	s, err := read()
	if err != nil {
		return job, false, err
	}
	for _, name := range s.Services() {
		if _, err := a.Service(ctx, name); err != nil {
			return job, false, err
		}
	}
	s.Caller = info.User.Name // differs from the owner if an admin retries a job
	info.attach(&s)
	return a.Queue.Submit(ctx, s)
}

// CheckMaySubmit returns a problem if the server is shutting down or the caller
// has reached the rate limit.
func (a *API) CheckMaySubmit(ctx context.Context) error {
	if a.draining.Err() != nil {
		return problem.New("shutting-down", "the server is shutting down; try again").RetryAfter(time.Second)
	}
	if wait := a.submissions.Reserve(InfoOf(ctx).User.Name); wait > 0 {
		return problem.New("rate-limited",
			fmt.Sprintf("you may submit %g jobs a second", a.SubmitRate)).RetryAfter(wait + time.Second)
	}
	return nil
}

// fill sets the fields that all responses with a job have.
func (response *jobResponse) fill(job jobs.Job) {
	response.Body = job
	response.ETag = job.ETag()
	response.Link = "<" + job.EventsURL + `>; rel="monitor"; type="text/event-stream"`
	if !job.Done {
		response.RetryAfter = retryAfterAge(time.Since(job.CreatedAt.Time))
	}
}

// retryAfterAge returns when to poll a job of this age again, in seconds: a
// tenth of its age, but at least 1 and at most 30.
func retryAfterAge(age time.Duration) string {
	return strconv.Itoa(int(min(max(age/10, time.Second), 30*time.Second).Seconds()))
}

// submitAndWatch submits a job and responds with its events. If a stream limit
// is reached, it does not submit the job.
func (a *API) submitAndWatch(
	ctx context.Context, service string, req *submitRequest, format string,
) (*renderedResponse, error) {
	info := InfoOf(ctx)
	s := a.newStream(info.forStream(), info.remoteAddr)
	if limit := a.streams.Acquire(s); limit != "" {
		return nil, streamLimitProblem(limit)
	}
	admitted := false
	defer func() { // also after a panic
		if !admitted {
			a.streams.Release(s)
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
