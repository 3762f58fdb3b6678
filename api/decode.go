package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/schema"
)

// submitBody is the body of a submission. In the schema of a service's
// submissions, input has the schema of the service's input.
type submitBody struct {
	Input          json.RawMessage `json:"input"`
	CallbackURL    string          `json:"callback_url,omitempty" doc:"Is called when something happens to the job: https, at a public address." example:"https://client.example/hooks/jobs"`
	CallbackEvents []string        `json:"callback_events,omitempty" enum:"job.started,job.progress,job.retrying,job.succeeded,job.failed,job.canceled,job.expired" doc:"What to tell. Default: every way to end."`
	CallbackState  string          `json:"callback_state,omitempty" doc:"Comes back in every callback; at most 1 KiB."`
	Delay          string          `json:"delay,omitempty" doc:"Not started before this time is over, such as 5s or 1h30m."`
	RunAt          string          `json:"run_at,omitempty" format:"date-time" doc:"Not started before this time."`
	Priority       int             `json:"priority,omitempty" minimum:"1" maximum:"4" default:"2" doc:"1 (first) to 4."`
	Timeout        string          `json:"timeout,omitempty" doc:"Ends an attempt that takes longer, such as 15m. Default: that of the step's service."`
	MaxAttempts    int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How often each step is tried. Default: that of the step's service."`
	StartWithin    string          `json:"start_within,omitempty" doc:"The job expires if it was not started in this time, such as 1h."`
	Retain         string          `json:"retain,omitempty" doc:"How long the record is kept after the job's end, such as 24h."`
	Tags           []string        `json:"tags,omitempty" maxItems:"20" doc:"To find the job by."`
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	Then           []NextStep      `json:"then,omitempty" maxItems:"20" doc:"Further steps of the same job, each fed from the one before."`
}

// NextStep is a further step of a submission.
type NextStep struct {
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input" doc:"{\"$output\": \"/json/pointer\"} stands for a part of the output of the step before; the pointer \"\" is all of it."`
}

// Decode validates the body of a submission and converts it. Its error is a
// problem that lists all errors in the body.
func (a *API) Decode(ctx context.Context, service, contentType string, body []byte) (jobs.Submission, error) {
	if !isJSON(contentType) {
		return jobs.Submission{}, errMediaType()
	}
	errs, err := schema.Check(ctx, a.schemas.compiledSubmits[service], body, "body")
	if err != nil {
		return jobs.Submission{}, bodyError(ctx, err)
	}
	var in submitBody
	if err := json.Unmarshal(body, &in); err != nil {
		if len(errs) == 0 {
			errs = append(errs, schema.DecodeError(err, "body"))
		}
		return jobs.Submission{}, problem.Invalid(errs)
	}
	errs = append(errs, a.checkFiles(ctx, service, in.Input, "body.input")...)
	if len(errs) == 0 {
		if err := a.Services.Get(service).Fits(a.Validator.Fill(service, in.Input)); err != nil {
			errs = append(errs, schema.DecodeError(err, "body.input"))
		}
	}
	s := jobs.Submission{
		Service: service, Input: in.Input, Priority: in.Priority, MaxAttempts: in.MaxAttempts, Tags: in.Tags,
		Metadata:       in.Metadata,
		CallbackEvents: in.CallbackEvents, CallbackState: in.CallbackState,
	}
	addError := func(field, message string, value any) {
		errs = append(errs, schema.ProblemError{Location: "body." + field, Message: message, Value: value})
	}
	duration := func(field, text string) time.Duration {
		if text == "" {
			return 0
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 && (d != 0 || field != "delay") {
			addError(field, "expected a duration above zero such as 90s, 15m or 24h", schema.Truncate(text))
			return 0
		}
		return d
	}
	s.Timeout, s.StartWithin, s.Retain = duration("timeout", in.Timeout), duration("start_within", in.StartWithin),
		duration("retain", in.Retain)
	s.Delay = duration("delay", in.Delay)
	if in.RunAt != "" {
		if in.Delay != "" {
			addError("run_at", "expected delay or run_at, not both", nil)
		}
		if at, err := schema.ParseTime(in.RunAt); err == nil {
			s.RunAt = at
		}
	}
	for i, tag := range in.Tags[:min(len(in.Tags), jobs.MaxTags)] { // the schema reports the excess
		if n := utf8.RuneCountInString(tag); n == 0 || n > jobs.MaxTag {
			addError(fmt.Sprintf("tags[%d]", i), fmt.Sprintf("expected 1 to %d characters", jobs.MaxTag), nil)
		}
	}
	if string(in.Metadata) == "null" {
		s.Metadata = nil
	}
	for i, step := range in.Then[:min(len(in.Then), jobs.MaxSteps-1)] {
		s.Then = append(s.Then, jobs.NextStep{Service: step.Service, Input: step.Input})
		if len(errs) >= schema.MaxErrors {
			continue
		}
		more, err := a.Validator.CheckStep(ctx, step.Service, step.Input, fmt.Sprintf("body.then[%d].input", i))
		if err != nil {
			return jobs.Submission{}, bodyError(ctx, err)
		}
		errs = append(errs, more...)
		errs = append(errs, a.checkFiles(ctx, step.Service, step.Input, fmt.Sprintf("body.then[%d].input", i))...)
		if a.Services.Get(step.Service) == nil && step.Service != "" {
			addError(fmt.Sprintf("then[%d].service", i), "unknown service", schema.Truncate(step.Service))
		}
	}
	if in.CallbackURL != "" {
		if s.CallbackURL, err = a.Guard.CheckURL(in.CallbackURL); err != nil && len(errs) == 0 {
			return jobs.Submission{}, fmt.Errorf("check callback_url: %w", err)
		} else if err != nil {
			addError("callback_url", err.Error(), nil)
		}
	}
	if len(errs) > 0 {
		return jobs.Submission{}, problem.Invalid(errs[:min(len(errs), schema.MaxErrors)])
	}
	return s, nil
}

// isJSON reports whether a Content-Type is a JSON media type.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// bodyError returns the error for a body that is not valid JSON, or whose
// client has disconnected.
func bodyError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read body: %w", context.Cause(ctx))
	}
	return problem.New("bad-request", "the body is not valid JSON: "+err.Error())
}

func errMediaType() *problem.Problem {
	return problem.New("unsupported-media-type", "expected a JSON body with Content-Type: application/json")
}
