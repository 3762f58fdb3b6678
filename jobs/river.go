package jobs

import (
	"log/slog"
	"time"

	"github.com/riverqueue/river"
)

// The queues of River's that jobs and callbacks wait in.
const (
	jobQueue      = "jobs"
	callbackQueue = "callbacks"
	// What was tried before waits in a lane of its own, so that it never
	// stands in the way of what is new.
	retryQueue = "callback_retries"
)

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
	river.AddWorker(c.Workers, &deliverer{queue: q})
	c.Queues = map[string]river.QueueConfig{
		jobQueue:      {MaxWorkers: q.Workers, FetchCooldown: 2 * time.Millisecond},
		callbackQueue: {MaxWorkers: q.CallbackWorkers, FetchCooldown: 20 * time.Millisecond},
		retryQueue:    {MaxWorkers: max(1, q.CallbackWorkers/2), FetchCooldown: 20 * time.Millisecond},
	}
	return c
}
