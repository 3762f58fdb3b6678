package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"coatcheck/jobs"

	"github.com/danielgtaylor/huma/v2"
)

// submitBody is the body of a submission; its schema has the service's in the
// place of input.
type submitBody struct {
	Input          json.RawMessage `json:"input"`
	CallbackURL    string          `json:"callback_url,omitempty" doc:"Is called when something happens to the job: https, at a public address." example:"https://client.example/hooks/jobs"`
	CallbackEvents []string        `json:"callback_events,omitempty" enum:"job.started,job.progress,job.retrying,job.succeeded,job.failed,job.canceled,job.expired" doc:"What to tell. Default: every way to end."`
	CallbackState  string          `json:"callback_state,omitempty" doc:"Comes back in every callback; at most 1 KiB."`
	Delay          string          `json:"delay,omitempty" doc:"Not started before this time is over, such as 5s or 1h30m."`
	RunAt          string          `json:"run_at,omitempty" format:"date-time" doc:"Not started before this time."`
	Priority       int             `json:"priority,omitempty" minimum:"1" maximum:"4" default:"2" doc:"1 (first) to 4."`
	Timeout        string          `json:"timeout,omitempty" doc:"Ends an attempt that takes longer, such as 15m. Default: the service's."`
	MaxAttempts    int             `json:"max_attempts,omitempty" minimum:"1" maximum:"100" doc:"How often each step is tried. Default: the service's."`
	StartWithin    string          `json:"start_within,omitempty" doc:"The job expires if it was not started in this time, such as 1h."`
	Retain         string          `json:"retain,omitempty" doc:"How long the record is kept after the job's end, such as 24h."`
	Tags           []string        `json:"tags,omitempty" maxItems:"20" doc:"To find the job by."`
	Metadata       json.RawMessage `json:"metadata,omitempty"`
	Then           []nextStep      `json:"then,omitempty" maxItems:"20" doc:"Further steps of the same job, each fed from the one before."`
}

// nextStep is a further step, as in the contract.
type nextStep struct {
	Service string          `json:"service"`
	Input   json.RawMessage `json:"input" doc:"{\"$output\": \"/json/pointer\"} stands for a part of the output of the step before; the pointer \"\" is all of it."`
}

// submitRequest is a submission.
type submitRequest struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"A submission that comes again with its key finds the first one's job, for 24 hours."`
	Prefer         string `header:"Prefer" doc:"wait=N waits up to N seconds (at most 60) for the job to end (RFC 7240)."`
	RawBody        []byte `contentType:"application/json"`
}

// JobHeaders are the headers of an answer with a job. They are exported for huma, which looks into them.
type JobHeaders struct {
	ETag              string `header:"ETag" doc:"The id of the job's newest event."`
	Location          string `header:"Location"`
	Link              string `header:"Link"`
	RetryAfter        string `header:"Retry-After" doc:"When to ask again, in seconds, if the job has not ended."`
	Replayed          string `header:"Idempotent-Replayed"`
	PreferenceApplied string `header:"Preference-Applied"`
}

// jobAnswer is an answer with a job.
type jobAnswer struct {
	Status int
	JobHeaders
	Body jobs.Job
}

// submitAnswer is an answer with a job, or with the stream of its events.
type submitAnswer struct {
	Status int
	JobHeaders
	Body func(huma.Context)
}

// maxWait is the longest time a request waits for a job.
const maxWait = 60 * time.Second

// addSubmit adds the call that submits a job to the service.
func (a *API) addSubmit(s *jobs.Service) {
	register(a, operation{
		id: "submit-" + s.Name, method: http.MethodPost, path: "/v1/services/" + s.Name + "/jobs", tag: "services",
		summary: "Submit a job: " + s.Summary, access: users, status: http.StatusAccepted, offers: []string{jsonType, eventStream, ndjson},
		more: func(op *huma.Operation) {
			op.SkipValidateBody = true // decode finds all that is wrong at once
			job := map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Job"}}}
			op.Responses["202"] = &huma.Response{Description: http.StatusText(http.StatusAccepted), Content: job}
			op.Responses["200"] = &huma.Response{
				Description: "The job has ended within the time that Prefer: wait gave it. Or, with Accept: text/event-stream or application/x-ndjson, its events as they happen.",
				Content:     streamTypes(),
			}
			maps.Copy(op.Responses["200"].Content, job)
			op.Callbacks = map[string]map[string]*huma.PathItem{"jobEvent": a.callback()}
		},
	}, func(ctx context.Context, req *submitRequest) (*submitAnswer, error) {
		if format := accepted(infoOf(ctx).accept(), "application/json", eventStream, ndjson); format == eventStream || format == ndjson {
			return a.submitAndWatch(ctx, s.Name, req, format)
		}
		answer, err := a.submit(ctx, s.Name, req)
		if err != nil {
			return nil, err
		}
		return &submitAnswer{Status: answer.Status, JobHeaders: answer.JobHeaders, Body: a.jobBody(answer)}, nil
	})
	// To huma the body is only bytes.
	op := a.huma.OpenAPI().Paths["/v1/services/"+s.Name+"/jobs"].Post
	op.RequestBody.Content = map[string]*huma.MediaType{"application/json": {Schema: a.Validator.submits[s.Name]}}
}

func (a *API) submit(ctx context.Context, service string, req *submitRequest) (*jobAnswer, error) {
	job, replayed, err := a.admit(ctx, service, req)
	if err != nil {
		return nil, err
	}
	answer := new(jobAnswer)
	if wait, ok := waitPreference(infoOf(ctx).header.Values("Prefer")); ok {
		if job, err = a.await(ctx, job, wait, func(j *jobs.Job) bool { return j.Done }); err != nil {
			return nil, err
		}
		answer.PreferenceApplied = fmt.Sprintf("wait=%d", int(wait.Seconds()))
	}
	applied := answer.PreferenceApplied
	answer = a.submitted(ctx, job)
	answer.replay(replayed)
	if answer.PreferenceApplied = applied; applied != "" && job.Done {
		answer.Status = http.StatusOK
	}
	return answer, nil
}

// admit makes a job of the request, or finds the one that it made before.
func (a *API) admit(ctx context.Context, service string, req *submitRequest) (job jobs.Job, replayed bool, err error) {
	if _, err := a.service(ctx, service); err != nil {
		return job, false, err
	}
	info := infoOf(ctx)
	submission, err := a.decode(service, info.header.Get("Content-Type"), req.RawBody)
	if err != nil {
		return job, false, err
	}
	submission.Owner, submission.BaseURL = info.user.Name, info.base
	if submission.IdempotencyKey, err = info.idempotencyKey(); err != nil {
		return job, false, err
	}
	if submission.IdempotencyKey != "" {
		submission.Fingerprint = fingerprint(req.RawBody)
	}
	return a.handIn(ctx, submission)
}

// submitted returns the answer to who submitted the job.
func (a *API) submitted(ctx context.Context, job jobs.Job) *jobAnswer {
	info := infoOf(ctx)
	answer := &jobAnswer{Status: http.StatusAccepted}
	answer.fill(job.Opened(info.base))
	answer.Location = info.base + "/v1/jobs/" + job.ID
	return answer
}

// replay says that the job was submitted before.
func (answer *jobAnswer) replay(replayed bool) {
	if replayed {
		answer.Replayed = "true"
	}
}

// handIn submits what was checked, if the caller may: all jobs come in here.
func (a *API) handIn(ctx context.Context, s jobs.Submission) (job jobs.Job, replayed bool, err error) {
	for _, name := range s.Services() {
		if _, err := a.service(ctx, name); err != nil {
			return job, false, err
		}
	}
	if err := a.mayIn(ctx); err != nil {
		return job, false, err
	}
	return a.Queue.Submit(ctx, s)
}

// mayIn returns a problem when the caller may not submit anything now.
func (a *API) mayIn(ctx context.Context) error {
	if a.draining.Err() != nil {
		return newProblem("shutting-down", "the server is shutting down; try again").after(time.Second)
	}
	if wait := a.rates.take(infoOf(ctx).user.Name); wait > 0 {
		return newProblem("rate-limited", fmt.Sprintf("you may submit %g jobs a second", a.SubmitRate)).after(wait + time.Second)
	}
	return nil
}

// fill sets what every answer with this job has.
func (answer *jobAnswer) fill(job jobs.Job) {
	answer.Body = job
	answer.ETag = job.ETag()
	answer.Link = "<" + job.EventsURL + `>; rel="monitor"; type="text/event-stream"`
	if !job.Done {
		answer.RetryAfter = retryAfterAge(time.Since(job.CreatedAt.Time))
	}
}

// retryAfterAge returns when to ask for a job of this age again: after a
// second at first, after half a minute for one that is five minutes old.
func retryAfterAge(age time.Duration) string {
	return strconv.Itoa(int(min(max(age/10, time.Second), 30*time.Second).Seconds()))
}

// decode returns the submission that a body is, or a problem with all that is
// wrong with it.
func (a *API) decode(service, contentType string, body []byte) (jobs.Submission, error) {
	if !isJSON(contentType) {
		return jobs.Submission{}, errMediaType()
	}
	value, errs, err := readJSON(body, "body")
	if err != nil {
		return jobs.Submission{}, newProblem("bad-request", "the body can't be read as JSON: "+err.Error())
	}
	errs = append(errs, a.Validator.check(a.Validator.submits[service], value, "body")...)
	var in submitBody
	if err := json.Unmarshal(body, &in); err != nil {
		if len(errs) == 0 {
			errs = append(errs, misfit(err, "body"))
		}
		return jobs.Submission{}, invalid(errs)
	}
	if err := a.Services.Get(service).Fits(in.Input); err != nil && len(errs) == 0 {
		errs = append(errs, misfit(err, "body.input"))
	}
	s := jobs.Submission{
		Service: service, Input: in.Input, Priority: in.Priority, MaxAttempts: in.MaxAttempts, Tags: in.Tags, Metadata: in.Metadata,
		CallbackEvents: in.CallbackEvents, CallbackState: in.CallbackState,
	}
	wrong := func(field, message string, value any) {
		errs = append(errs, ProblemError{Location: "body." + field, Message: message, Value: value})
	}
	duration := func(field, text string) time.Duration {
		if text == "" {
			return 0
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 && (d != 0 || field != "delay") {
			wrong(field, "expected a duration above zero such as 90s, 15m or 24h", clipped(text))
			return 0
		}
		return d
	}
	s.Timeout, s.StartWithin, s.Retain = duration("timeout", in.Timeout), duration("start_within", in.StartWithin), duration("retain", in.Retain)
	s.Delay = duration("delay", in.Delay)
	if in.RunAt != "" {
		if in.Delay != "" {
			wrong("run_at", "expected delay or run_at, not both", nil)
		}
		if at, err := time.Parse(time.RFC3339, in.RunAt); err == nil {
			s.RunAt = at
		}
	}
	for i, tag := range in.Tags {
		if n := utf8.RuneCountInString(tag); n == 0 || n > jobs.MaxTag {
			wrong(fmt.Sprintf("tags[%d]", i), fmt.Sprintf("expected 1 to %d characters", jobs.MaxTag), nil)
		}
	}
	if string(in.Metadata) == "null" {
		s.Metadata = nil
	}
	for i, step := range in.Then {
		s.Then = append(s.Then, jobs.NextStep{Service: step.Service, Input: step.Input})
		at := fmt.Sprintf("body.then[%d].input", i)
		if input, _, err := readJSON(step.Input, at); err == nil { // what is missing was said above
			errs = append(errs, a.Validator.checkStep(step.Service, input, at)...)
		}
		if a.Services.Get(step.Service) == nil && step.Service != "" {
			wrong(fmt.Sprintf("then[%d].service", i), "no service has this name", clipped(step.Service))
		}
	}
	if in.CallbackURL != "" {
		if s.CallbackURL, err = a.Guard.CheckURL(in.CallbackURL); err != nil && len(errs) == 0 {
			return jobs.Submission{}, fmt.Errorf("check callback_url: %w", err)
		} else if err != nil {
			wrong("callback_url", err.Error(), nil)
		}
	}
	if len(errs) > 0 {
		return jobs.Submission{}, invalid(errs)
	}
	return s, nil
}

// isJSON reports whether a Content-Type is one of JSON.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

func errMediaType() *Problem {
	return newProblem("unsupported-media-type", "expected a body of JSON with Content-Type: application/json")
}

// fingerprint returns what is the same for bodies that are the same JSON: the
// order of names and white space do not matter.
func fingerprint(body []byte) string {
	if value, _, err := readJSON(body, ""); err == nil {
		if b, err := json.Marshal(value); err == nil {
			body = b
		}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func clipped(s string) string {
	if len(s) > 100 {
		return s[:100]
	}
	return s
}

// idempotencyKey returns the key of the request, or "" when there is none.
func (info *requestInfo) idempotencyKey() (string, error) {
	lines := info.header.Values("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	key, err := parseKey(lines)
	if err != nil {
		return "", newProblem("bad-request", "the Idempotency-Key header is malformed", ProblemError{Location: "header.Idempotency-Key", Message: err.Error()})
	}
	return key, nil
}

// maxKey is the longest idempotency key.
const maxKey = 255

// parseKey returns the key of an Idempotency-Key header: a string as in RFC
// 9651, section 3.3.3, or its bare characters.
func parseKey(lines []string) (string, error) {
	if len(lines) > 1 {
		return "", errors.New("expected the header once")
	}
	raw := strings.TrimSpace(lines[0])
	key := raw
	if strings.HasPrefix(raw, `"`) {
		var b strings.Builder
		rest := raw[1:]
		for {
			i := strings.IndexAny(rest, `"\`)
			if i < 0 {
				return "", errors.New("expected a quote at the end")
			}
			b.WriteString(rest[:i])
			if rest[i] == '"' {
				if i+1 < len(rest) {
					return "", errors.New("expected nothing after the closing quote")
				}
				break
			}
			if i+1 == len(rest) || rest[i+1] != '"' && rest[i+1] != '\\' {
				return "", errors.New(`expected \" or \\ after a backslash`)
			}
			b.WriteByte(rest[i+1])
			rest = rest[i+2:]
		}
		key = b.String()
	} else if strings.ContainsAny(raw, ` ",`) {
		return "", errors.New("expected one key: put a key with spaces or commas in quotes")
	}
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("expected 1 to %d characters of printable ASCII", maxKey)
	}
	return key, nil
}

// waitPreference returns the wait of a Prefer header (RFC 7240, section 4.3),
// at most [maxWait]. What makes no sense is ignored, as the RFC says; the
// first of several counts.
func waitPreference(lines []string) (time.Duration, bool) {
	for preference := range preferences(strings.Join(lines, ",")) {
		token, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(token, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		var seconds int64
		if value == "" || len(value) > 9 {
			return 0, false
		}
		for _, c := range value {
			if c < '0' || c > '9' {
				return 0, false
			}
			seconds = 10*seconds + int64(c-'0')
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// preferences yields the elements of a list, which commas outside of quotes
// separate (RFC 9110, section 5.6).
func preferences(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == ',' && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
