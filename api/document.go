package api

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/problem"
	"coatcheck/api/reference"
	"coatcheck/jobs"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
)

// tags are the groups of operations, in the order of the documentation.
var tags = []*huma.Tag{
	{Name: "services", Description: "What the server can run. Each service has an operation of its own that submits a " +
		"job to it, with the schemas of its input and output."},
	{Name: "jobs", Description: "Read, watch, cancel, retry and delete jobs. A job's token grants read access to that " +
		"job without credentials."},
	{Name: "callbacks", Description: "Signed requests to the callback_url of a job (Standard Webhooks): their " +
		"deliveries, and the keys that sign them."},
	{Name: "operations", Description: "Health checks, for load balancers and monitoring."},
}

// exampleBase is the base URL in examples.
const exampleBase = "https://jobs.example"

// completeDocument adds what huma does not know to the OpenAPI document: that a job may have no
// error, examples, and the output of each service.
func (a *API) completeDocument() error {
	job := a.schemaOf("#/components/schemas/Job")
	job.Properties["error"] = &huma.Schema{
		AnyOf:       []*huma.Schema{job.Properties["error"], {Type: "null"}},
		Description: "Why the job did not succeed, or why its latest attempt failed.",
	}
	example, err := exampleJob("thumbnail", jobs.Succeeded, json.RawMessage(`{"width":320,"height":200}`))
	if err != nil {
		return err
	}
	job.Examples = []any{example}
	if example, err = exampleProblem(); err != nil {
		return err
	}
	a.schemaOf("#/components/schemas/Problem").Examples = []any{example}
	for s := range a.Services.All() {
		if err := a.describeSubmission(s); err != nil {
			return fmt.Errorf("describe service %s: %w", s.Name, err)
		}
	}
	return nil
}

// describeSubmission adds examples and the output of the service to its operation.
func (a *API) describeSubmission(s *jobs.Service) error {
	op := a.huma.OpenAPI().Paths["/v1/services/"+s.Name+"/jobs"].Post
	schemas := reference.SchemasOf(a.huma.OpenAPI())
	body, err := schemas.Request(a.schemas.submits[s.Name])
	if err != nil {
		return err
	}
	op.RequestBody.Content[jsonType].Example = body
	output, err := schemas.Response(a.Validator.Output(s.Name))
	if err != nil {
		return err
	}
	job, err := a.jobSchema(s.Name)
	if err != nil {
		return err
	}
	queued, err := exampleJob(s.Name, jobs.Queued, nil)
	if err != nil {
		return err
	}
	succeeded, err := exampleJob(s.Name, jobs.Succeeded, output)
	if err != nil {
		return err
	}
	op.Responses["202"].Content[jsonType] = &huma.MediaType{Schema: job, Example: queued}
	op.Responses["200"].Content[jsonType] = &huma.MediaType{Schema: job, Example: succeeded}
	return nil
}

// jobSchema returns the schema of a job of the service: Job.SERVICE, which is a Job with the
// output of the service. Generators make the type of the output of an allOf.
func (a *API) jobSchema(service string) (*huma.Schema, error) {
	job := &huma.Schema{Ref: "#/components/schemas/Job"}
	output := a.Validator.Output(service)
	text, err := json.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	if string(text) == "{}" {
		return job, nil // anything, as in a Job
	}
	name := "Job." + service
	a.Validator.Registry.Map()[name] = &huma.Schema{
		Description: "A job of the service " + service +
			". If it has further steps (then), its output is that of the last one.",
		AllOf: []*huma.Schema{job, {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
			"output": {AnyOf: []*huma.Schema{output, {Type: "null"}}, Description: "null until the job has succeeded."},
		}}},
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}, nil
}

// exampleJob returns a job as the API returns it to the submitter.
func exampleJob(service string, status jobs.Status, output json.RawMessage) (json.RawMessage, error) {
	at := func(ms int) *store.Time {
		t := store.At(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond))
		return &t
	}
	const id = "job_06f3k9q2v8x1t7m4c0r5n6w2za"
	job := jobs.Job{
		ID: id, Token: id + ".Qm9uam91ciBsZSBtb25kZQ", Service: service, Status: status, Done: status.Done(),
		LastEventID: "1-0", CreatedAt: *at(0), MaxAttempts: 3, Step: 1, Steps: 1, Priority: 2, Tags: []string{},
		Output: output,
	}
	if job.Done {
		job.LastEventID, job.Attempt = "3-0", 1
		job.StartedAt, job.FinishedAt, job.RemovedAt = at(8), at(1250), at(7*24*3_600_000)
		job.Progress = jobs.Report{Percent: 100, UpdatedAt: at(1250)}
	}
	return store.Marshal(job.Opened(exampleBase))
}

// exampleProblem returns the problem of an invalid submission.
func exampleProblem() (json.RawMessage, error) {
	p := problem.Invalid([]schema.ProblemError{{Location: "body.input.width", Message: "expected at least 1", Value: 0}})
	return store.Marshal(p.ForRequest(exampleBase, "/v1/services/thumbnail/jobs", "req_8r2m"))
}
