package jobs

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A Status is the status of a job.
type Status string

// The statuses of a job: scheduled → queued → running → (retrying → queued …)
// → succeeded, failed, canceled or expired.
const (
	Scheduled Status = "scheduled" // waits for its run_at
	Queued    Status = "queued"    // waits for a worker
	Running   Status = "running"   // runs in a worker
	Retrying  Status = "retrying"  // waits for another attempt after a failure
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Canceled  Status = "canceled"
	Expired   Status = "expired" // did not start in time
)

// Statuses are all statuses.
var Statuses = []Status{Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled, Expired}

// Done reports whether a job of this status has ended.
func (s Status) Done() bool {
	switch s {
	case Succeeded, Failed, Canceled, Expired:
		return true
	default:
		return false
	}
}

// A Job is a submitted job as callers see it. The same object is used in HTTP responses, in
// snapshot and end events, and in callbacks.
type Job struct {
	ID          string          `json:"id" doc:"For logs and lists; opens nothing by itself."`
	Token       Optional        `json:"token" nullable:"true" doc:"Whoever holds it may read this one job without further credentials. It stands only in answers to who submitted the job, and in reads made with it."`
	Service     string          `json:"service"`
	Status      Status          `json:"status" enum:"scheduled,queued,running,retrying,succeeded,failed,canceled,expired"`
	Done        bool            `json:"done" doc:"Whether the job has ended."`
	LastEventID string          `json:"last_event_id" doc:"The id of the job's newest event: where a stream of its events can begin without a gap."`
	CreatedAt   store.Time      `json:"created_at" format:"date-time"`
	RunAt       *store.Time     `json:"run_at" format:"date-time" doc:"Not started before this time."`
	StartedAt   *store.Time     `json:"started_at" format:"date-time" doc:"When the first attempt began."`
	FinishedAt  *store.Time     `json:"finished_at" format:"date-time"`
	RemovedAt   *store.Time     `json:"removed_at" format:"date-time" doc:"When the record goes; set at the job's end."`
	Attempt     int             `json:"attempt" doc:"The number of the newest attempt, from 1; 0 before the first."`
	MaxAttempts int             `json:"max_attempts"`
	Step        int             `json:"step" doc:"The number of the current step, from 1."`
	Steps       int             `json:"steps" doc:"How many steps the job has."`
	Priority    int             `json:"priority" doc:"1 (first) to 4."`
	Tags        []string        `json:"tags" nullable:"false"`
	Metadata    json.RawMessage `json:"metadata"`
	RetryOf     Optional        `json:"retry_of" nullable:"true" doc:"The id of the job that this one runs again."`
	Progress    Report          `json:"progress"`
	Input       json.RawMessage `json:"input,omitempty" doc:"Only for the job's owner."`
	// Uploads are the files of the input.
	Uploads map[string]File `json:"uploads,omitempty" doc:"Only for the job's owner: the files of the input, by the ids that stand for them there."`
	Output  json.RawMessage `json:"output" doc:"Always null in lists, see output_omitted."`
	// OutputOmitted reports that the job has an output that is omitted here: always in lists, in
	// callbacks if it is too large, and in the response to a submission if it is large and the
	// server is busy.
	OutputOmitted   bool     `json:"output_omitted,omitempty" doc:"The job has an output, which is left out here (in lists always, in callbacks if it is large, in the answer to a submission if it is large and the server is busy): fetch it from result_url."`
	Error           *Error   `json:"error"`
	CancelRequested bool     `json:"cancel_requested"`
	CallbackURL     Optional `json:"callback_url" nullable:"true" format:"uri"`
	Links

	// ExpiresAt is when the job expires if it has not started.
	ExpiresAt *store.Time `json:"-"`
	// Chain contains the steps of the job. Of the finished steps, only the newest keeps its output.
	Chain []Step `json:"-"`
	// Callback is the state of the newest callback; nil if none was requested.
	Callback *Callback `json:"-"`
	// Owner is the name of the user who submitted the job.
	Owner string `json:"-"`
	// History contains the newest attempts, oldest first.
	History []Attempt `json:"-"`
	// BaseURL is the URL through which the submitter reached the API. Links in callbacks begin with
	// it.
	BaseURL string `json:"-"`

	Internal `json:"-"`

	renderings *renderings // nil unless they are cached
}

// Internal is the part of a job that its callers do not see.
type Internal struct {
	// Version and Events are the two parts of LastEventID. Version is the fence: each transition and
	// each cancel request raises it.
	Version, Events uint64
	// RunID is the id of the run that has the job; "" if none has it.
	RunID string
	// RiverJobID is the id of the River job that carries the job; 0 if none does.
	RiverJobID int64
	// Recoveries counts how often a worker was lost while it ran the current step.
	Recoveries int
	// CancelReason is from the cancel request.
	CancelReason string
	// OutputFile is the id of the file that the output describes; "" if the output is no file.
	OutputFile string
	// Digest is the beginning of the input in one line.
	Digest string
	// LogLines is the number of log lines of all steps.
	LogLines uint64
	// Requested is what the submitter requested to be notified of.
	Requested CallbackRequest
	// Timeout limits an attempt of the current step. Retain is how long the record is kept after the job's end.
	Timeout, Retain store.Duration
}

// A Step is one service with its input in the chain of a job.
type Step struct {
	Service    string          `json:"service"`
	Input      json.RawMessage `json:"input,omitempty"`
	Uploads    map[string]File `json:"uploads,omitempty"` // the files of the input, by their ids
	Output     json.RawMessage `json:"output,omitempty"`
	File       string          `json:"file,omitempty"` // id of the file that the output describes
	FinishedAt *store.Time     `json:"finished_at"`
	// Timeout and MaxAttempts replace those of the job when this step, a further one, begins. They
	// are 0 if the submitter requested some for all steps.
	Timeout     store.Duration `json:"timeout,omitempty"`
	MaxAttempts int            `json:"max_attempts,omitempty"`
}

// A Report is the progress of a job.
type Report struct {
	Percent   float64         `json:"percent" minimum:"0" maximum:"100"`
	Message   string          `json:"message"`
	Data      json.RawMessage `json:"data"`
	UpdatedAt *store.Time     `json:"updated_at" format:"date-time"`
}

// An Error is why a job did not succeed, or why its last attempt failed.
type Error struct {
	Code    string `json:"code" enum:"failed,timeout,panic,worker_lost,canceled,expired,invalid_input,invalid_output"`
	Message string `json:"message"`
	Attempt int    `json:"attempt"`
}

// A Callback is the state of a job's newest callback.
type Callback struct {
	URL            string      `json:"url"`
	Status         string      `json:"status"` // also pending before the first callback exists
	Attempts       int         `json:"attempts"`
	LastStatusCode *int        `json:"last_status_code"`
	NextAttemptAt  *store.Time `json:"next_attempt_at"`
}

// CallbackRequest is what the submitter requested to be notified of, and where.
type CallbackRequest struct {
	URL    string
	Events []string
	State  string
	// Sequence is the number of the newest callback.
	Sequence uint64
}

// EventID returns the id of the job's newest event.
func (j *Job) EventID() notify.ID { return notify.ID{Version: j.Version, N: j.Events} }

// ETag returns a weak entity tag (RFC 9110, section 8.8.3), with quotes: the id
// of the newest event.
func (j *Job) ETag() string { return `W/"` + j.LastEventID + `"` }

// Optional is a string that is encoded as null in JSON if it is empty.
type Optional string

// MarshalJSON implements [json.Marshaler].
func (o Optional) MarshalJSON() ([]byte, error) {
	if o == "" {
		return []byte("null"), nil
	}
	return store.Marshal(string(o))
}

// Scan implements [sql.Scanner]. NULL becomes the empty string.
func (o *Optional) Scan(src any) error {
	var s sql.NullString
	err := s.Scan(src)
	*o = Optional(s.String)
	return err
}

// OmitLargeOutput omits the output if it is large.
func (j *Job) OmitLargeOutput() {
	if len(j.Output) > maxInline {
		j.Output, j.OutputOmitted = nil, true
	}
}

// maxInline is the largest output, in bytes, that a callback includes. It is also the largest that
// is read with a job when the output is not needed.
const maxInline = 64 << 10

// WantsProgress reports whether the submitter requested progress callbacks.
func (j *Job) WantsProgress() bool {
	return j.Requested.URL != "" && slices.Contains(j.Requested.Events, JobProgress)
}

// Suspect reports whether a worker was lost while it ran the job: the job may have crashed it. A
// suspect runs in an isolated process until the step is done, so that a crash affects no other job.
func (j *Job) Suspect() bool { return j.Recoveries > 0 }

// Overall converts the progress of the current step, in percent, to that of the whole job.
func (j *Job) Overall(percent float64) float64 {
	return (float64(j.Step-1)*100 + min(max(percent, 0), 100)) / float64(j.Steps)
}

// Refresh sets the fields that are derived from others.
func (j *Job) Refresh() {
	j.Done = j.Status.Done()
	j.LastEventID = j.EventID().String()
	j.CallbackURL = Optional(j.Requested.URL)
	j.RemovedAt = j.RemoveAt()
}

// RemoveAt returns when the record of the job is removed; nil before its end.
func (j *Job) RemoveAt() *store.Time {
	if j.FinishedAt == nil {
		return nil
	}
	return new(store.At(j.FinishedAt.Add(time.Duration(j.Retain))))
}
