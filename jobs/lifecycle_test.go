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
		ID: "job_x", Service: "a", Status: status, version: 5, events: 7, Attempt: 1, MaxAttempts: 3, Step: 1, Steps: 2, riverJobID: 40,
		Chain: []Step{{Service: "a", Input: json.RawMessage(`1`)}, {Service: "b", Input: json.RawMessage(`2`)}}, timeout: store.Duration(time.Minute), CreatedAt: lifePast,
	}
	switch status {
	case Scheduled, Retrying:
		j.RunAt, j.riverJobID = &lifePast, 0
	case Running:
		j.runID, j.StartedAt = "run", &lifePast
		j.History = []Attempt{{Number: 1, Step: 1, WorkerID: "w", StartedAt: lifePast, Status: Running}}
	case Succeeded, Failed, Canceled, Expired:
		j.FinishedAt = &lifePast
	case Queued:
	}
	if status == Scheduled || status == Queued {
		j.Attempt, j.ExpiresAt = 0, &soon
	}
	j.refresh()
	return j
}

func ended(res result, cause error) runEnded {
	return runEnded{runID: "run", result: res, cause: cause, wait: 8 * time.Second, report: Report{Percent: 20}, log: part{lines: 3}, last: notify.ID{Version: 5, N: 9}}
}

// canceled returns the end of a run that was canceled in River.
func canceled(end runEnded) runEnded {
	end.cancel = true
	return end
}

// All pairs of a status and a trigger: what becomes of the job, and what follows.
func TestLifecycle(t *testing.T) {
	triggers := []struct {
		name    string
		trigger trigger
		want    string // for each status that the trigger means something to
	}{
		{"starts", runStarted{"new", "w2", 40}, "queued: running, callback job.started; running: running, callback job.started, unknown prev"},
		{"starts, by an old River job", runStarted{"new", "w2", 39}, ""},
		{"succeeds", ended(result{Output: json.RawMessage(`1`)}, nil), "running: queued, enqueue, log"},
		{"fails", ended(failureResult(codeFailed, "no"), nil), "running: retrying, callback job.retrying, log"},
		{"fails for good", ended(failureResult(codeInvalidInput, "no"), nil), "running: failed, callback job.failed, log"},
		{"times out", ended(failureResult(codeFailed, "no"), errTimeout), "running: retrying, callback job.retrying, log"},
		{"is interrupted", ended(failureResult(codeFailed, "no"), errors.New("stop")), "running: queued, enqueue at 40, log"},
		{"panics while it is interrupted", ended(failureResult(codePanic, "no"), errors.New("stop")), "running: retrying, callback job.retrying, log"},
		{"is canceled by River", canceled(ended(failureResult(codeFailed, "no"), errors.New("canceled"))), "running: canceled, callback job.canceled, log"},
		{"dies alone", ended(failureResult(codeWorkerLost, "exit status 1"), nil), "running: queued, enqueue at 40, log, requeued"},
		{"can't run alone", ended(failureResult(codeNotStarted, "no process"), nil), "running: queued, log"},
		{"of another run", runEnded{runID: "other"}, ""},
		{"cancel", cancelRequested{"enough"}, "scheduled: canceled, callback job.canceled; queued: canceled, cancel River job 40, callback job.canceled; running: running, cancel River job 40, kept; retrying: canceled, callback job.canceled"},
		{"due", startDue{}, "scheduled: queued, enqueue; retrying: queued, enqueue"},
		{"missed", startMissed{}, ""},
		{"execution lost", executionLost{}, "queued: queued, cancel River job 40, enqueue at 40, unknown prev, requeued; running: queued, cancel River job 40, enqueue at 40, unknown prev, requeued, recovered"},
		{"canceled in River", riverCanceled{}, "queued: canceled, callback job.canceled"},
	}
	statuses := []Status{Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled, Expired}
	for _, f := range triggers {
		var got []string
		for _, status := range statuses {
			before := lifeJob(status)
			after, e, err := before.transition(f.trigger, lifeNow)
			if !reflect.DeepEqual(before, lifeJob(status)) {
				t.Errorf("%s: the %s job itself has changed", f.name, status)
			}
			if err != nil {
				continue
			}
			if after.version != before.version+1 {
				t.Errorf("%s: version %d after %d", f.name, after.version, before.version)
			}
			if after.Done && (after.FinishedAt == nil || after.Error == nil && status != Succeeded) {
				t.Errorf("%s: a %s job that is done without a time or a reason", f.name, after.Status)
			}
			if (after.runID == "") != (after.Status != Running) {
				t.Errorf("%s: a %s job with run %q", f.name, after.Status, after.runID)
			}
			got = append(got, string(status)+": "+string(after.Status)+followed(e))
		}
		if text := strings.Join(got, "; "); text != f.want {
			t.Errorf("%s:\n got %s\nwant %s", f.name, text, f.want)
		}
	}
}

// followed returns the effects as text.
func followed(e effects) string {
	var b strings.Builder
	if e.cancelRiverJob != 0 {
		fmt.Fprintf(&b, ", cancel River job %d", e.cancelRiverJob)
	}
	if e.enqueue {
		b.WriteString(", enqueue")
	}
	if e.queuePosition != 0 {
		fmt.Fprintf(&b, " at %d", e.queuePosition)
	}
	if e.callback != "" {
		b.WriteString(", callback " + e.callback)
	}
	for _, flag := range []struct {
		text string
		is   bool
	}{{"log", e.log != nil}, {"kept", e.kept}, {"unknown prev", e.prev.IsZero()}, {"requeued", e.requeued}, {"recovered", e.recovered}} {
		if flag.is {
			b.WriteString(", " + flag.text)
		}
	}
	return b.String()
}

// What a trigger changes in a job, beside its status.
func TestLifecycleTransitionDetails(t *testing.T) {
	succeeded := result{Output: json.RawMessage(`"out"`)}
	with := func(status Status, change func(*Job)) Job {
		j := lifeJob(status)
		change(&j)
		return j
	}
	for _, tt := range []struct {
		name    string
		job     Job
		trigger trigger
		ok      func(Job, effects) bool
	}{
		{"a step hands its output on", lifeJob(Running), ended(succeeded, nil), func(j Job, e effects) bool {
			return j.Step == 2 && j.Attempt == 0 && string(j.Chain[0].Output) == `"out"` && j.Chain[0].FinishedAt != nil && j.Progress.Percent == 50 && j.Output == nil && j.History[0].Status == Succeeded && e.prev == notify.ID{Version: 5, N: 9}
		}},
		{"the last step ends the job", with(Running, func(j *Job) { j.Step = 2; j.Chain[0].Output = json.RawMessage(`1`) }), ended(succeeded, nil), func(j Job, e effects) bool {
			return j.Status == Succeeded && string(j.Output) == `"out"` && j.Chain[0].Output == nil && j.Progress.Percent == 100 && e.callback == JobSucceeded && j.RemovedAt != nil
		}},
		{"a suspect's next step is none", with(Running, func(j *Job) { j.recoveries = 2 }), ended(succeeded, nil), func(j Job, _ effects) bool { return j.recoveries == 0 && !j.suspect() }},
		{"canceled too late", with(Running, func(j *Job) { j.Step, j.CancelRequested = 2, true }), ended(succeeded, nil), func(j Job, _ effects) bool { return j.Status == Succeeded }},
		{"canceled between steps", with(Running, func(j *Job) { j.CancelRequested, j.cancelReason = true, "enough" }), ended(succeeded, nil), func(j Job, _ effects) bool {
			return j.Status == Canceled && j.Error.Message == "enough"
		}},
		{"the reason of a request to stop is kept", lifeJob(Running), cancelRequested{strings.Repeat("é", 2000)}, func(j Job, e effects) bool {
			return j.CancelRequested && e.kept && len(j.cancelReason) <= maxMessage && j.runID == "run" && j.Error == nil
		}},
		{"a job that did not stop", with(Running, func(j *Job) { j.CancelRequested = true }), ended(result{Failure: &failure{Code: codeFailed}, returned: make(chan struct{})}, errors.New("stop")), func(j Job, _ effects) bool {
			return j.Error.Message == "canceled on request; the service did not stop and was left behind"
		}},
		{"the last attempt", with(Running, func(j *Job) { j.Attempt = 3 }), ended(failureResult(codeFailed, "no"), nil), func(j Job, _ effects) bool {
			return j.Status == Failed && *j.Error == Error{Code: "failed", Message: "no", Attempt: 3}
		}},
		{"a time-out", lifeJob(Running), ended(failureResult(codeFailed, "no"), errTimeout), func(j Job, _ effects) bool {
			return j.Error.Code == "timeout" && j.Error.Message == "the attempt took longer than 1m0s" && j.RunAt.Equal(lifeNow.Add(8*time.Second)) && j.riverJobID == 0
		}},
		{"a service that says when", lifeJob(Running), ended(resultOf(fmt.Errorf("busy: %w", RetryAfter(time.Hour))), nil), func(j Job, _ effects) bool { return j.RunAt.Equal(lifeNow.Add(time.Hour)) }},
		{"an attempt that was interrupted does not count", lifeJob(Running), ended(failureResult(codeFailed, "no"), errors.New("stop")), func(j Job, _ effects) bool { return j.Attempt == 0 && j.recoveries == 0 }},
		{"a lost worker", lifeJob(Running), executionLost{true}, func(j Job, _ effects) bool { return j.Attempt == 0 && j.recoveries == 1 && j.suspect() }},
		{"a worker lost once too often", with(Running, func(j *Job) { j.recoveries = maxRecoveries }), executionLost{}, func(j Job, e effects) bool {
			return j.Status == Failed && j.Error.Code == "worker_lost" && j.Error.Message == "4 workers were lost while they ran the job" && !e.requeued
		}},
		{"a suspect whose worker was lost, though it ran alone", with(Running, func(j *Job) { j.recoveries = maxRecoveries }), executionLost{true}, func(j Job, _ effects) bool { return j.Status == Queued }},
		{"not for ever", with(Running, func(j *Job) { j.recoveries = maxRestarts }), executionLost{true}, func(j Job, _ effects) bool { return j.Status == Failed }},
		{"one that dies alone once too often", with(Running, func(j *Job) { j.recoveries = maxRecoveries }), ended(failureResult(codeWorkerLost, "exit status 1"), nil), func(j Job, _ effects) bool {
			return j.Status == Failed && strings.HasSuffix(j.Error.Message, "; exit status 1")
		}},
		{"lost while it should stop", with(Running, func(j *Job) { j.CancelRequested = true }), executionLost{true}, func(j Job, _ effects) bool { return j.Status == Canceled && j.recoveries == 0 }},
		{"missed", with(Queued, func(j *Job) { j.ExpiresAt = &lifePast }), startMissed{}, func(j Job, e effects) bool {
			return j.Status == Expired && e.cancelRiverJob == 40 && e.callback == JobExpired
		}},
		{"the first start", lifeJob(Queued), runStarted{"new", "w2", 40}, func(j Job, e effects) bool {
			return j.Attempt == 1 && j.runID == "new" && e.workerID == "w2" && j.StartedAt.Equal(lifeNow.Time) && len(j.History) == 1 && j.History[0].WorkerID == "w2"
		}},
		{"a start in place of another run", lifeJob(Running), runStarted{"new", "w2", 40}, func(j Job, _ effects) bool {
			return j.Attempt == 1 && j.StartedAt.Equal(lifePast.Time) && len(j.History) == 2 && j.History[0].Status == Queued
		}},
	} {
		after, e, err := tt.job.transition(tt.trigger, lifeNow)
		if err != nil || !tt.ok(after, e) {
			t.Errorf("%s: got %+v, %+v, %v", tt.name, after, e, err)
		}
	}
	for name, refused := range map[string]struct {
		job     Job
		trigger trigger
		want    error
	}{
		"expired":          {with(Queued, func(j *Job) { j.ExpiresAt = &lifePast }), runStarted{"new", "w2", 40}, errLost},
		"to be canceled":   {with(Running, func(j *Job) { j.CancelRequested = true }), runStarted{"new", "w2", 40}, errLost},
		"not due":          {with(Scheduled, func(j *Job) { j.RunAt = &soon }), startDue{}, errLost},
		"canceled twice":   {with(Running, func(j *Job) { j.CancelRequested = true }), cancelRequested{}, errCanceled},
		"canceled already": {lifeJob(Canceled), cancelRequested{}, errCanceled},
		"over":             {lifeJob(Succeeded), cancelRequested{}, ErrFinished},
	} {
		if _, _, err := refused.job.transition(refused.trigger, lifeNow); !errors.Is(err, refused.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// jump is a trigger that gives a job any status.
type jump struct{ to Status }

func (f jump) apply(j *Job, _ *effects, _ store.Time) error { j.setStatus(f.to); return nil }

// A trigger can't break the table of what may follow what.
func TestLifecycleRefusesForbiddenTransitions(t *testing.T) {
	statuses := []Status{Scheduled, Queued, Running, Retrying, Succeeded, Failed, Canceled, Expired}
	for _, from := range statuses {
		for _, to := range statuses {
			_, _, err := lifeJob(from).transition(jump{to}, lifeNow)
			if allowed := slices.Contains(successors[from], to); (err == nil) != allowed {
				t.Errorf("from %s to %s: %v", from, to, err)
			}
			if from.Done() && err == nil {
				t.Errorf("a job that is %s became %s", from, to)
			}
		}
	}
}
