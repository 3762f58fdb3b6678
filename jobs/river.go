package jobs

import (
	"log/slog"
	"time"

	"github.com/riverqueue/river"
)

// jobQueue is the queue of River's that jobs wait in.
const jobQueue = "jobs"

func (q *Queue) riverConfig() *river.Config {
	c := &river.Config{
		ID:                          q.workerID,
		Logger:                      slog.New(quiet{q.Logger.Handler(), q.away}),
		CompletedJobRetentionPeriod: time.Hour,
		CancelledJobRetentionPeriod: time.Hour,
		DiscardedJobRetentionPeriod: 24 * time.Hour,
		// River's own rescue is only a backstop. It leaves a job alone until
		// its worker's Timeout is over, which is longer for jobs than this.
		JobTimeout:           time.Minute,
		RescueStuckJobsAfter: 2 * time.Minute,
		SoftStopTimeout:      q.StopTimeout,
		FetchOnlyKnownKinds:  true,
		// Notifications are sent at most once in this time, and what is
		// inserted meanwhile waits for the next poll.
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: 200 * time.Millisecond,
	}
	if !q.db.postgres {
		c.FetchPollInterval = time.Second
		c.ReindexerSchedule = river.NeverSchedule() // it would block the one writer
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
