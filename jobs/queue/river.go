package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/riverqueue/river"
	"riverqueue.com/riverui"

	"coatcheck/jobs"
)

// jobQueue is the name of River's queue for jobs.
const jobQueue = "jobs"

// riverQueue returns the name of River's queue for jobs of the service: a queue of its own if its
// concurrency is limited. River's names of queues allow fewer characters than ours of services.
func riverQueue(s *jobs.Service) string {
	if s.Concurrency == 0 {
		return jobQueue
	}
	sum := sha256.Sum256([]byte(s.Name))
	return jobQueue + "-" + hex.EncodeToString(sum[:8])
}

// riverQueue returns the name of River's queue for jobs of a service. Another process may have
// services that this one does not have.
func (q *Queue) riverQueue(service string) string {
	if s := q.Services.Get(service); s != nil {
		return riverQueue(s)
	}
	return jobQueue
}

// riverQueues returns the queues of all services.
func (q *Queue) riverQueues() map[string]river.QueueConfig {
	const cooldown = 2 * time.Millisecond
	queues := map[string]river.QueueConfig{jobQueue: {MaxWorkers: q.Workers, FetchCooldown: cooldown}}
	for s := range q.Services.All() {
		if s.Concurrency > 0 {
			queues[riverQueue(s)] = river.QueueConfig{MaxWorkers: s.Concurrency, FetchCooldown: cooldown}
		}
	}
	return queues
}

func (q *Queue) riverConfig() *river.Config {
	c := &river.Config{
		ID:                          q.workerID,
		Logger:                      slog.New(riverLog{q.Logger.Handler(), q}),
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
	if !q.db.Postgres() {
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
	c.Queues = q.riverQueues()
	return c
}

// Engine returns a handler that serves River UI, which shows River's own tables, below a path. The
// queue picks up changes that are made there within seconds. Its background work ends with ctx. The
// handler does not authenticate requests: its caller must.
func (q *Queue) Engine(ctx context.Context, path string) (http.Handler, error) {
	h, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(q.river, nil), JobListHideArgsByDefault: true,
		Logger: slog.New(riverLog{q.Logger.Handler(), q}), Prefix: path,
	})
	if err != nil {
		return nil, fmt.Errorf("create River UI: %w", err)
	}
	if err := h.Start(ctx); err != nil {
		return nil, fmt.Errorf("start River UI: %w", err)
	}
	return h, nil
}
