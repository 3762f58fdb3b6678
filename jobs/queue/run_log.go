package queue

import (
	"context"

	"coatcheck/jobs"
)

// logTransition logs the end of a job, and each attempt that failed. Operators find the rest under the
// job's id.
func (q *Queue) logTransition(ctx context.Context, before, after *jobs.Job) {
	if a := failedAttempt(before, after); a != nil {
		q.Logger.WarnContext(ctx, "attempt failed", "job", after.ID, "service", after.Chain[a.Step-1].Service,
			"attempt", a.Number, "max_attempts", after.MaxAttempts, "took", a.FinishedAt.Sub(a.StartedAt.Time).String(),
			"code", a.Error.Code, "err", a.Error.Message, "status", string(after.Status))
	}
	if before.Done || !after.Done {
		return
	}
	args := []any{"job", after.ID, "service", after.Service, "status", string(after.Status), "attempt", after.Attempt}
	if after.StartedAt != nil && after.FinishedAt != nil {
		args = append(args, "took", after.FinishedAt.Sub(after.StartedAt.Time).String())
	}
	if after.Error != nil {
		args = append(args, "code", after.Error.Code)
	}
	q.Logger.InfoContext(ctx, "job ended", args...)
}

// failedAttempt returns the attempt that ended in a transition, if it failed; else nil.
func failedAttempt(before, after *jobs.Job) *jobs.Attempt {
	n := len(after.History)
	if n == 0 || after.History[n-1].FinishedAt == nil || after.History[n-1].Error == nil {
		return nil
	}
	if m := len(before.History); m == 0 || before.History[m-1].FinishedAt != nil || after.Status == jobs.Canceled {
		return nil
	}
	return &after.History[n-1]
}
