package jobs

import (
	"log/slog"
	"time"

	"github.com/riverqueue/river"
)

// jobQueue is the name of River's queue for jobs.
const jobQueue = "jobs"

func (q *Queue) riverConfig() *river.Config {
	c := &river.Config{
		ID:                          q.workerID,
		Logger:                      slog.New(riverLog{q.Logger.Handler(), q.databaseFailing}),
		CompletedJobRetentionPeriod: time.Hour,
		CancelledJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
		// River's own rescue is only a backstop. It leaves a job alone until its worker's Timeout
		// has passed, which is longer for our jobs than RescueStuckJobsAfter.
		JobTimeout:           time.Minute,
		RescueStuckJobsAfter: 2 * time.Minute,
		SoftStopTimeout:      q.StopTimeout,
		FetchOnlyKnownKinds:  true,
		// River sends at most one notification in this time. Jobs that are inserted meanwhile wait
		// for the next poll.
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: 200 * time.Millisecond,
	}
	if !q.db.postgres {
		c.FetchPollInterval = time.Second
		c.ReindexerSchedule = river.NeverSchedule() // reindexing would block the only writer
	}
	if q.Workers == 0 {
		return c // only inserts
	}
	c.Workers = river.NewWorkers()
	for service := range q.Services.All() {
		river.AddWorkerArgs(c.Workers, runArgs{service: service.Name}, &worker{queue: q, service: service})
	}
	c.Queues = map[string]river.QueueConfig{jobQueue: {MaxWorkers: q.Workers, FetchCooldown: 2 * time.Millisecond}}
	return c
}
