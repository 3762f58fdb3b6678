package document

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

// Tags are the groups of operations, in the order of the documentation.
var Tags = []*huma.Tag{
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

// A completer adds what huma does not know to a document.
type completer struct {
	document  *huma.OpenAPI
	validator *schema.Validator
	submits   map[string]*huma.Schema
}

// Complete adds what huma does not know to the OpenAPI document: that a job may have no error,
// examples, and the output of each service. The validator has the services of the document, and
// submits the schemas of submissions by service.
func Complete(document *huma.OpenAPI, v *schema.Validator, submits map[string]*huma.Schema) error {
	c := completer{document, v, submits}
	job := v.Registry.SchemaFromRef("#/components/schemas/Job")
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
	v.Registry.SchemaFromRef("#/components/schemas/Problem").Examples = []any{example}
	for s := range v.Services() {
		if err := c.describeSubmission(s.Name); err != nil {
			return fmt.Errorf("describe service %s: %w", s.Name, err)
		}
	}
	return nil
}

// describeSubmission adds examples and the output of the service to its operation.
func (c *completer) describeSubmission(service string) error {
	op := c.document.Paths["/v1/services/"+service+"/jobs"].Post
	schemas := reference.SchemasOf(c.document)
	body, err := schemas.Request(c.submits[service])
	if err != nil {
		return err
	}
	op.RequestBody.Content["application/json"].Example = body
	output, err := schemas.Response(c.validator.Output(service))
	if err != nil {
		return err
	}
	job, err := c.jobSchema(service)
	if err != nil {
		return err
	}
	queued, err := exampleJob(service, jobs.Queued, nil)
	if err != nil {
		return err
	}
	succeeded, err := exampleJob(service, jobs.Succeeded, output)
	if err != nil {
		return err
	}
	op.Responses["202"].Content["application/json"] = &huma.MediaType{Schema: job, Example: queued}
	op.Responses["200"].Content["application/json"] = &huma.MediaType{Schema: job, Example: succeeded}
	return nil
}

// jobSchema returns the schema of a job of the service: Job.SERVICE, which is a Job with the
// output of the service. Generators make the type of the output of an allOf.
func (c *completer) jobSchema(service string) (*huma.Schema, error) {
	job := &huma.Schema{Ref: "#/components/schemas/Job"}
	output := c.validator.Output(service)
	text, err := json.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	if string(text) == "{}" {
		return job, nil // anything, as in a Job
	}
	name := "Job." + service
	c.validator.Registry.Map()[name] = &huma.Schema{
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
