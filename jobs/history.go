package jobs

import "coatcheck/jobs/store"

// maxHistory is the maximum number of attempts that are stored with a job.
const maxHistory = 50

// An Attempt is one run of a step of a job, as shown on the web page.
type Attempt struct {
	Number     int         `json:"number"`
	Step       int         `json:"step"`
	WorkerID   string      `json:"worker_id"`
	StartedAt  store.Time  `json:"started_at"`
	FinishedAt *store.Time `json:"finished_at,omitempty"`
	// Status is the status of the job after the attempt: succeeded and queued also mean that the
	// step was done, retrying that the attempt failed.
	Status Status `json:"status"`
	Error  *Error `json:"error,omitempty"`
}

// recordHistory records that an attempt began or ended, before the job is saved.
func (j *Job) recordHistory(workerID string, now store.Time) {
	if n := len(j.History); n > 0 && j.History[n-1].FinishedAt == nil {
		last := &j.History[n-1]
		last.FinishedAt, last.Status = &now, j.Status
		switch {
		case j.Status == Running: // its worker was lost
			last.Status = Queued
		case j.Status == Queued && j.Step > last.Step:
			last.Status = Succeeded
		case j.Error != nil:
			last.Error = j.Error
		}
	}
	if j.Status == Running {
		j.History = append(j.History,
			Attempt{Number: j.Attempt, Step: j.Step, WorkerID: workerID, StartedAt: now, Status: Running})
		j.History = j.History[max(0, len(j.History)-maxHistory):]
	}
}
