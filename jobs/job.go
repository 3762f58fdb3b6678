package jobs

import (
	"encoding/json"
	"errors"
	"strconv"

	"coatcheck/notify"
)

// Errors that a caller can act on.
var (
	// ErrNotFound means that there is no such job.
	ErrNotFound = errors.New("no such job")
	// ErrRemoved means that the job existed and its record is gone, because
	// its time was over or its owner deleted it.
	ErrRemoved = errors.New("the job's record was removed")
	// ErrFinished means that the job is already finished.
	ErrFinished = errors.New("the job is already finished")
	// ErrNotFinished means that the job is not finished yet.
	ErrNotFinished = errors.New("the job is not finished")
	// ErrSucceeded means that the job succeeded, so there is nothing to retry.
	ErrSucceeded = errors.New("the job succeeded")
	// ErrKeyReused means that an idempotency key came back with another request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrUnknownService means that no service has this name.
	ErrUnknownService = errors.New("no such service")
)

// A Status says where in its life a job is.
type Status string

// The statuses of a job: scheduled → queued → running → (retrying → queued …)
// → succeeded, failed, canceled or expired.
const (
	Scheduled Status = "scheduled" // waits for its run_at
	Queued    Status = "queued"    // waits for a worker
	Running   Status = "running"   // a worker has it
	Retrying  Status = "retrying"  // failed and waits for another attempt
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
	Expired   Status = "expired" // was not started in time
)

// Done reports whether a job of this status has ended.
func (s Status) Done() bool {
	switch s {
	case Succeeded, Failed, Canceled, Expired:
		return true
	default:
		return false
	}
}

// A Job is one run that a caller asked for, as callers see it: the same object
// stands in answers, in the snapshot and end events and in callbacks.
type Job struct {
	ID          string          `json:"id" doc:"For logs and lists; opens nothing by itself."`
	Token       string          `json:"token" doc:"Whoever holds it may read this one job without further credentials."`
	Service     string          `json:"service"`
	Status      Status          `json:"status" enum:"scheduled,queued,running,retrying,succeeded,failed,canceled,expired"`
	Done        bool            `json:"done" doc:"Whether the job has ended."`
	LastEventID string          `json:"last_event_id" doc:"The id of the job's newest event: where a stream of its events can begin without a gap."`
	CreatedAt   Time            `json:"created_at" format:"date-time"`
	RunAt       *Time           `json:"run_at" format:"date-time" doc:"Not started before this time."`
	StartedAt   *Time           `json:"started_at" format:"date-time" doc:"When the first attempt began."`
	FinishedAt  *Time           `json:"finished_at" format:"date-time"`
	ExpiresAt   *Time           `json:"expires_at" format:"date-time" doc:"Expires when it has not started by this time."`
	Attempt     int             `json:"attempt" doc:"The number of the newest attempt, from 1; 0 before the first."`
	MaxAttempts int             `json:"max_attempts"`
	Step        int             `json:"step" doc:"The number of the current step, from 1."`
	Steps       int             `json:"steps" doc:"How many steps the job has."`
	Chain       []Step          `json:"chain,omitempty" doc:"The steps, when there are several."`
	Priority    int             `json:"priority" doc:"1 (first) to 4."`
	Tags        []string        `json:"tags" nullable:"false"`
	Metadata    json.RawMessage `json:"metadata"`
	Progress    Report          `json:"progress"`
	Input       json.RawMessage `json:"input,omitempty" doc:"Only for the job's owner."`
	Output      json.RawMessage `json:"output"`
	// OutputOmitted says that a callback was too small for the output.
	OutputOmitted   bool      `json:"output_omitted,omitempty" doc:"In callbacks: the output is too large and waits at result_url."`
	Error           *Error    `json:"error"`
	CancelRequested bool      `json:"cancel_requested"`
	Callback        *Callback `json:"callback" doc:"What became of the newest callback; null when none was asked for."`
	Links

	// Owner is the name of the user who submitted the job.
	Owner string `json:"-"`
	// History are the newest attempts, the newest last.
	History []Attempt `json:"-"`
	// BaseURL is how the submitter reached the API; callbacks link to it.
	BaseURL string `json:"-"`

	version, events uint64 // the two halves of LastEventID
	callback        callbackRequest
	timeout, retain Duration
	runID           string
	riverJobID      int64
	recoveries      int
}

// Links are the URLs that act on a job.
type Links struct {
	StatusURL string `json:"status_url" format:"uri"`
	EventsURL string `json:"events_url" format:"uri"`
	ResultURL string `json:"result_url" format:"uri"`
	CancelURL string `json:"cancel_url" format:"uri"`
	WebURL    string `json:"web_url" format:"uri"`
}

// A Step is one service in the chain of a job's.
type Step struct {
	Service    string          `json:"service"`
	Input      json.RawMessage `json:"input,omitempty" doc:"Only for the job's owner."`
	Output     json.RawMessage `json:"output"`
	FinishedAt *Time           `json:"finished_at" format:"date-time"`
}

// A Report says how far a job is.
type Report struct {
	Percent   float64         `json:"percent" minimum:"0" maximum:"100"`
	Message   string          `json:"message"`
	Data      json.RawMessage `json:"data"`
	UpdatedAt *Time           `json:"updated_at" format:"date-time"`
}

// An Error says why a job did not succeed, or why its last attempt failed.
type Error struct {
	Code    string `json:"code" enum:"failed,timeout,panic,worker_lost,canceled,expired,invalid_output"`
	Message string `json:"message"`
	Attempt int    `json:"attempt"`
}

// A Callback says what became of a job's newest callback.
type Callback struct {
	URL            string `json:"url" format:"uri"`
	Status         string `json:"status" enum:"waiting,delivered,failed" doc:"Waiting also before there is anything to deliver."`
	Attempts       int    `json:"attempts"`
	LastStatusCode *int   `json:"last_status_code"`
	NextAttemptAt  *Time  `json:"next_attempt_at" format:"date-time"`
}

// callbackRequest is what the submitter asked to be told, and where.
type callbackRequest struct {
	url    string
	events []string
	state  string
	// sequence is the number of the newest callback.
	sequence uint64
}

// Links returns the URLs of the job below base, which has no slash at its end.
func (j *Job) links(base string) Links {
	job := base + "/v1/jobs/" + j.Token
	return Links{
		StatusURL: job,
		EventsURL: job + "/events",
		ResultURL: job + "/result",
		CancelURL: base + "/v1/jobs/" + j.ID + "/cancel",
		WebURL:    base + "/jobs/" + j.Token,
	}
}

// At returns the job with links below base, "https://host", to be shown to a
// caller who reached the API there.
func (j Job) At(base string) Job {
	j.Links = j.links(base)
	if j.Steps == 1 {
		j.Chain = nil
	}
	return j
}

// WithoutInput returns the job as those may see it who only hold its token.
func (j Job) WithoutInput() Job {
	j.Input = nil
	chain := make([]Step, len(j.Chain))
	for i, step := range j.Chain {
		step.Input = nil
		chain[i] = step
	}
	j.Chain = chain
	return j
}

// EventID returns the id of the job's newest event.
func (j *Job) EventID() notify.ID { return notify.ID{Version: j.version, N: j.events} }

// ETag returns a strong entity tag (RFC 9110, section 8.8.3), with quotes: the
// id of the newest event, and what changes without one.
func (j *Job) ETag() string {
	tag := j.LastEventID
	if j.CancelRequested && !j.Done {
		tag += "-c"
	}
	if j.Callback != nil && j.Callback.Attempts > 0 {
		tag += "-" + j.Callback.Status[:1] + strconv.Itoa(j.Callback.Attempts)
	}
	return `"` + tag + `"`
}
