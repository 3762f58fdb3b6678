package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

var (
	lifeNow  = store.At(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	lifePast = store.At(lifeNow.Add(-time.Minute))
	soon     = store.At(lifeNow.Add(time.Minute))
)

// lifeJob returns a job with that status, as it is half-way through its life.
func lifeJob(status Status) Job {
	j := Job{
		ID: "job_x", Service: "a", Status: status, Attempt: 1, MaxAttempts: 3, Step: 1, Steps: 2,
		Chain: []Step{{Service: "a", Input: json.RawMessage(`1`)}, {Service: "b", Input: json.RawMessage(`2`)}}, CreatedAt: lifePast,
		Internal: Internal{Version: 5, Events: 7, RiverJobID: 40, Timeout: store.Duration(time.Minute)},
	}
	switch status {
	case Scheduled, Retrying:
		j.RunAt, j.RiverJobID = &lifePast, 0
	case Running:
		j.RunID, j.StartedAt = "run", &lifePast
		j.History = []Attempt{{Number: 1, Step: 1, WorkerID: "w", StartedAt: lifePast, Status: Running}}
	case Succeeded, Failed, Canceled, Expired:
		j.FinishedAt = &lifePast
	case Queued:
	}
	if status == Scheduled || status == Queued {
		j.Attempt, j.ExpiresAt = 0, &soon
	}
	j.Refresh()
	return j
}

func ended(res Result, cause error) RunEnded {
	return RunEnded{RunID: "run", Result: res, Cause: cause, Wait: 8 * time.Second, Report: Report{Percent: 20}, Log: LogPart{Lines: 3}, Last: notify.ID{Version: 5, N: 9}}
}

// canceled returns the end of a run that was canceled in River.
func canceled(end RunEnded) RunEnded {
	end.Canceled = true
	return end
}

// All pairs of a status and a trigger: what becomes of the job, and what follows.
func TestLifecycle(t *testing.T) {
	triggers := []struct {
		name    string
		Trigger Trigger
		want    string // for each status that the trigger means something to
	}{
		{"starts", RunStarted{"new", "w2", 40}, "queued: running, callback job.started; running: running, callback job.started, unknown prev"},
		{"starts, by an old River job", RunStarted{"new", "w2", 39}, ""},
		{"succeeds", ended(Result{Output: json.RawMessage(`1`)}, nil), "running: queued, enqueue, log"},
		{"fails", ended(Fail(CodeFailed, "no"), nil), "running: retrying, callback job.retrying, log"},
		{"fails for good", ended(Fail(CodeInvalidInput, "no"), nil), "running: failed, callback job.failed, log"},
		{"times out", ended(Fail(CodeFailed, "no"), ErrTimeout), "running: retrying, callback job.retrying, log"},
		{"is interrupted", ended(Fail(CodeFailed, "no"), errors.New("stop")), "running: queued, enqueue at 40, log"},
		{"panics while it is interrupted", ended(Fail(codePanic, "no"), errors.New("stop")), "running: retrying, callback job.retrying, log"},
		{"is canceled by River", canceled(ended(Fail(CodeFailed, "no"), errors.New("canceled"))), "running: canceled, callback job.canceled, log"},
		{"dies alone", ended(Fail(CodeWorkerLost, "exit status 1"), nil), "running: queued, enqueue at 40, log, requeued"},
		{"can't run alone", ended(Fail(CodeNotStarted, "no process"), nil), "running: queued, log"},
		{"of another run", RunEnded{RunID: "other"}, ""},
		{"cancel", CancelRequested{"enough"}, "scheduled: canceled, callback job.canceled; queued: canceled, cancel River job 40, callback job.canceled; running: running, cancel River job 40, kept; retrying: canceled, callback job.canceled"},
		{"due", StartDue{}, "scheduled: queued, enqueue; retrying: queued, enqueue"},
		{"missed", StartMissed{}, ""},
		{"execution lost", ExecutionLost{}, "queued: queued, cancel River job 40, enqueue at 40, unknown prev, requeued; running: queued, cancel River job 40, enqueue at 40, unknown prev, requeued, recovered"},
		{"canceled in River", RiverCanceled{}, "queued: canceled, callback job.canceled"},
	}
	statuses := []Status{Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled, Expired}
	for _, f := range triggers {
		var got []string
		for _, status := range statuses {
			before := lifeJob(status)
			after, e, err := before.Transition(f.Trigger, lifeNow)
			if !reflect.DeepEqual(before, lifeJob(status)) {
				t.Errorf("%s: the %s job itself has changed", f.name, status)
			}
			if err != nil {
				continue
			}
			if after.Version != before.Version+1 {
				t.Errorf("%s: version %d after %d", f.name, after.Version, before.Version)
			}
			if after.Done && (after.FinishedAt == nil || after.Error == nil && status != Succeeded) {
				t.Errorf("%s: a %s job that is done without a time or a reason", f.name, after.Status)
			}
			if (after.RunID == "") != (after.Status != Running) {
				t.Errorf("%s: a %s job with run %q", f.name, after.Status, after.RunID)
			}
			got = append(got, string(status)+": "+string(after.Status)+followed(e))
		}
		if text := strings.Join(got, "; "); text != f.want {
			t.Errorf("%s:\n got %s\nwant %s", f.name, text, f.want)
		}
	}
}

// followed returns the effects as text.
func followed(e Effects) string {
	var b strings.Builder
	if e.CancelRiverJob != 0 {
		fmt.Fprintf(&b, ", cancel River job %d", e.CancelRiverJob)
	}
	if e.Enqueue {
		b.WriteString(", enqueue")
	}
	if e.QueuePosition != 0 {
		fmt.Fprintf(&b, " at %d", e.QueuePosition)
	}
	if e.Callback != "" {
		b.WriteString(", callback " + e.Callback)
	}
	for _, flag := range []struct {
		text string
		is   bool
	}{{"log", e.Log != nil}, {"kept", e.Kept}, {"unknown prev", e.Prev.IsZero()}, {"requeued", e.Requeued}, {"recovered", e.Recovered}} {
		if flag.is {
			b.WriteString(", " + flag.text)
		}
	}
	return b.String()
}

// What a trigger changes in a job, beside its status.
func TestLifecycleTransitionDetails(t *testing.T) {
	succeeded := Result{Output: json.RawMessage(`"out"`)}
	with := func(status Status, change func(*Job)) Job {
		j := lifeJob(status)
		change(&j)
		return j
	}
	for _, tt := range []struct {
		name    string
		job     Job
		Trigger Trigger
		ok      func(Job, Effects) bool
	}{
		{"a step hands its output on", lifeJob(Running), ended(succeeded, nil), func(j Job, e Effects) bool {
			return j.Step == 2 && j.Attempt == 0 && string(j.Chain[0].Output) == `"out"` && j.Chain[0].FinishedAt != nil && j.Progress.Percent == 50 && j.Output == nil && j.History[0].Status == Succeeded && e.Prev == notify.ID{Version: 5, N: 9}
		}},
		{"the last step ends the job", with(Running, func(j *Job) { j.Step = 2; j.Chain[0].Output = json.RawMessage(`1`) }), ended(succeeded, nil), func(j Job, e Effects) bool {
			return j.Status == Succeeded && string(j.Output) == `"out"` && j.Chain[0].Output == nil && j.Progress.Percent == 100 && e.Callback == JobSucceeded && j.RemovedAt != nil
		}},
		{"a suspect's next step is none", with(Running, func(j *Job) { j.Recoveries = 2 }), ended(succeeded, nil), func(j Job, _ Effects) bool { return j.Recoveries == 0 && !j.Suspect() }},
		{"canceled too late", with(Running, func(j *Job) { j.Step, j.CancelRequested = 2, true }), ended(succeeded, nil), func(j Job, _ Effects) bool { return j.Status == Succeeded }},
		{"canceled between steps", with(Running, func(j *Job) { j.CancelRequested, j.CancelReason = true, "enough" }), ended(succeeded, nil), func(j Job, _ Effects) bool {
			return j.Status == Canceled && j.Error.Message == "enough"
		}},
		{"the reason of a request to stop is kept", lifeJob(Running), CancelRequested{strings.Repeat("é", 2000)}, func(j Job, e Effects) bool {
			return j.CancelRequested && e.Kept && len(j.CancelReason) <= MaxMessage && j.RunID == "run" && j.Error == nil
		}},
		{"a job that did not stop", with(Running, func(j *Job) { j.CancelRequested = true }), ended(Result{Failure: &Failure{Code: CodeFailed}, Returned: make(chan struct{})}, errors.New("stop")), func(j Job, _ Effects) bool {
			return j.Error.Message == "canceled on request; the service did not stop and was left behind"
		}},
		{"the last attempt", with(Running, func(j *Job) { j.Attempt = 3 }), ended(Fail(CodeFailed, "no"), nil), func(j Job, _ Effects) bool {
			return j.Status == Failed && *j.Error == Error{Code: "failed", Message: "no", Attempt: 3}
		}},
		{"a time-out", lifeJob(Running), ended(Fail(CodeFailed, "no"), ErrTimeout), func(j Job, _ Effects) bool {
			return j.Error.Code == "timeout" && j.Error.Message == "the attempt took longer than 1m0s" && j.RunAt.Equal(lifeNow.Add(8*time.Second)) && j.RiverJobID == 0
		}},
		{"a service that says when", lifeJob(Running), ended(FailWith(fmt.Errorf("busy: %w", RetryAfter(time.Hour))), nil), func(j Job, _ Effects) bool { return j.RunAt.Equal(lifeNow.Add(time.Hour)) }},
		{"an attempt that was interrupted does not count", lifeJob(Running), ended(Fail(CodeFailed, "no"), errors.New("stop")), func(j Job, _ Effects) bool { return j.Attempt == 0 && j.Recoveries == 0 }},
		{"a lost worker", lifeJob(Running), ExecutionLost{true}, func(j Job, _ Effects) bool { return j.Attempt == 0 && j.Recoveries == 1 && j.Suspect() }},
		{"a worker lost once too often", with(Running, func(j *Job) { j.Recoveries = maxRecoveries }), ExecutionLost{}, func(j Job, e Effects) bool {
			return j.Status == Failed && j.Error.Code == "worker_lost" && j.Error.Message == "4 workers were lost while they ran the job" && !e.Requeued
		}},
		{"a suspect whose worker was lost, though it ran alone", with(Running, func(j *Job) { j.Recoveries = maxRecoveries }), ExecutionLost{true}, func(j Job, _ Effects) bool { return j.Status == Queued }},
		{"not for ever", with(Running, func(j *Job) { j.Recoveries = maxRestarts }), ExecutionLost{true}, func(j Job, _ Effects) bool { return j.Status == Failed }},
		{"one that dies alone once too often", with(Running, func(j *Job) { j.Recoveries = maxRecoveries }), ended(Fail(CodeWorkerLost, "exit status 1"), nil), func(j Job, _ Effects) bool {
			return j.Status == Failed && strings.HasSuffix(j.Error.Message, "; exit status 1")
		}},
		{"lost while it should stop", with(Running, func(j *Job) { j.CancelRequested = true }), ExecutionLost{true}, func(j Job, _ Effects) bool { return j.Status == Canceled && j.Recoveries == 0 }},
		{"missed", with(Queued, func(j *Job) { j.ExpiresAt = &lifePast }), StartMissed{}, func(j Job, e Effects) bool {
			return j.Status == Expired && e.CancelRiverJob == 40 && e.Callback == JobExpired
		}},
		{"the first start", lifeJob(Queued), RunStarted{"new", "w2", 40}, func(j Job, e Effects) bool {
			return j.Attempt == 1 && j.RunID == "new" && e.WorkerID == "w2" && j.StartedAt.Equal(lifeNow.Time) && len(j.History) == 1 && j.History[0].WorkerID == "w2"
		}},
		{"a start in place of another run", lifeJob(Running), RunStarted{"new", "w2", 40}, func(j Job, _ Effects) bool {
			return j.Attempt == 1 && j.StartedAt.Equal(lifePast.Time) && len(j.History) == 2 && j.History[0].Status == Queued
		}},
	} {
		after, e, err := tt.job.Transition(tt.Trigger, lifeNow)
		if err != nil || !tt.ok(after, e) {
			t.Errorf("%s: got %+v, %+v, %v", tt.name, after, e, err)
		}
	}
	for name, refused := range map[string]struct {
		job     Job
		Trigger Trigger
		want    error
	}{
		"expired":          {with(Queued, func(j *Job) { j.ExpiresAt = &lifePast }), RunStarted{"new", "w2", 40}, ErrLost},
		"to be canceled":   {with(Running, func(j *Job) { j.CancelRequested = true }), RunStarted{"new", "w2", 40}, ErrLost},
		"not due":          {with(Scheduled, func(j *Job) { j.RunAt = &soon }), StartDue{}, ErrLost},
		"canceled twice":   {with(Running, func(j *Job) { j.CancelRequested = true }), CancelRequested{}, ErrAlreadyCanceled},
		"canceled already": {lifeJob(Canceled), CancelRequested{}, ErrAlreadyCanceled},
		"over":             {lifeJob(Succeeded), CancelRequested{}, ErrFinished},
	} {
		if _, _, err := refused.job.Transition(refused.Trigger, lifeNow); !errors.Is(err, refused.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// jump is a trigger that gives a job any status.
type jump struct{ to Status }

func (f jump) apply(j *Job, _ *Effects, _ store.Time) error { j.setStatus(f.to); return nil }

// A trigger can't break the table of what may follow what.
func TestLifecycleRefusesForbiddenTransitions(t *testing.T) {
	statuses := []Status{Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled, Expired}
	for _, from := range statuses {
		for _, to := range statuses {
			_, _, err := lifeJob(from).Transition(jump{to}, lifeNow)
			if allowed := slices.Contains(successors[from], to); (err == nil) != allowed {
				t.Errorf("from %s to %s: %v", from, to, err)
			}
			if from.Done() && err == nil {
				t.Errorf("a job that is %s became %s", from, to)
			}
		}
	}
}
