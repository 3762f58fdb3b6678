package pages

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// workers returns the workers with the jobs that they run now, of all users for an admin and of the
// caller otherwise.
func (a *Pages) workers(ctx context.Context, stats []queue.WorkerStats) ([]web.WorkerRow, error) {
	running, err := a.Queue.RunningJobs(ctx, a.OwnerFilter(ctx))
	if err != nil {
		return nil, err
	}
	rows := make([]web.WorkerRow, len(stats))
	for i, w := range stats {
		row := web.WorkerRow{
			ID: w.ID, Host: w.Host, PID: "–", Version: cmp.Or(w.Version, "–"), Status: "succeeded", Beat: "OK",
			Load: fmt.Sprintf("%d of %d", w.Running, w.Concurrency), Started: w.StartedAt.Time,
		}
		if w.PID != 0 {
			row.PID = strconv.Itoa(w.PID)
		}
		if w.Stale {
			row.Status, row.Beat = "failed", "stale for "+web.Took(time.Since(w.BeatAt.Time))
		}
		found := running[w.ID]
		row.More = len(found) > queue.MaxRunning
		for _, j := range found[:min(len(found), queue.MaxRunning)] {
			row.Jobs = append(row.Jobs, web.RunningJob{
				Href: "/jobs/" + j.ID, ID: j.ID, Service: j.Service, Since: j.StartedAt.Time,
			})
		}
		rows[i] = row
	}
	return rows, nil
}
