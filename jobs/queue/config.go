package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os/exec"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A Publisher distributes the events of jobs to viewers. It must not block for long. A lost event
// only costs latency.
type Publisher interface {
	Publish(topic string, e notify.Event) error
	// Erase deletes the stored events of a topic.
	Erase(topic string) error
}

// A Config is the configuration of a [Queue].
type Config struct {
	Database *store.DB
	// Keys are the signing keys in the database.
	Keys *keys.Keyring
	// Receivers are the test receivers, which store callbacks. Default: those in the database.
	Receivers *receivers.Receivers
	// Files stores the files of jobs; nil if this server stores none.
	Files files.Store
	// Housekeeping deletes what has expired in other tables; it is called about once a second by
	// each process.
	Housekeeping []func(context.Context) error
	Services     *jobs.Registry
	Events       Publisher
	// Viewers are notified of events that they missed; nil if this process has no viewers.
	Viewers Viewers
	// Sender sends callbacks. Schedule decides when to retry them; default
	// [notify.DefaultSchedule].
	Sender   *notify.Sender
	Schedule notify.Schedule
	// Validate validates an input, which was built from the output of the previous step, against
	// the schema of its service.
	Validate func(service string, input []byte) error
	// Fill adds the defaults of the service's schema to an input before the service gets it. Default: none
	// are added.
	Fill func(service string, input []byte) []byte
	// FileProperties returns the properties of the service's input that are files, which may be
	// URLs. Default: there are none.
	FileProperties func(service string) map[string]bool
	// MaxOutput is the maximum size of an output as JSON in bytes. Default
	// [jobs.DefaultMaxOutput].
	MaxOutput int
	// Workers is the number of jobs that run concurrently in this process; 0 means that it runs
	// none.
	Workers int
	// CallbackWorkers is the number of callbacks that are sent concurrently. Default 200.
	CallbackWorkers int
	// CallbackHold is the first hold of a receiver after five consecutive failures. Each further
	// hold is twice as long, up to twenty times CallbackHold. Default 30 seconds.
	CallbackHold time.Duration
	// MaxTimeout is the longest timeout that a caller may request. Default 24 hours.
	MaxTimeout time.Duration
	// Retain is how long a job's record is kept after its end. Default 24 hours.
	Retain time.Duration
	// MaxQueued limits the number of waiting jobs; 0 means no limit.
	MaxQueued int64
	// Backoff returns the delay after a failed attempt, counted from 1. Default 2 s, 8 s, 32 s … up
	// to 10 minutes.
	Backoff func(attempt int) time.Duration
	// MaxQueuedByUser limits the number of waiting jobs of one user; 0 means no limit.
	MaxQueuedByUser int64
	// CancelGrace is how long a run may take to stop after it was canceled; then it is abandoned.
	// Default 10 seconds.
	CancelGrace time.Duration
	// Isolate returns a command that calls [isolated.Run] with its standard input and output. Each
	// job that may have killed a worker runs in such a process. If Isolate is nil, these jobs run
	// like any other.
	Isolate func(ctx context.Context) (*exec.Cmd, error)
	// StuckAfter is how long a job may wait while a worker is idle before the health check reports
	// the queue as stuck. Default 30 seconds.
	StuckAfter time.Duration
	// StopTimeout is how long running jobs may continue after the queue is stopped. Default 20
	// seconds.
	StopTimeout time.Duration
	// Version is the version of the program, which is shown with this process as a worker.
	Version string
	Logger  *slog.Logger
}

func (c *Config) complete() error {
	c.CallbackWorkers = cmp.Or(c.CallbackWorkers, 200)
	c.MaxOutput = cmp.Or(c.MaxOutput, jobs.DefaultMaxOutput)
	c.CallbackHold = cmp.Or(c.CallbackHold, 30*time.Second)
	c.MaxTimeout = cmp.Or(c.MaxTimeout, 24*time.Hour)
	c.Retain = cmp.Or(c.Retain, 24*time.Hour)
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	if c.Schedule == nil {
		c.Schedule = notify.DefaultSchedule()
	}
	c.StopTimeout = cmp.Or(c.StopTimeout, 20*time.Second)
	c.CancelGrace = cmp.Or(c.CancelGrace, 10*time.Second)
	c.StuckAfter = cmp.Or(c.StuckAfter, 30*time.Second)
	if c.Receivers == nil {
		c.Receivers = receivers.New(c.Database, c.Keys)
	}
	var errs []error
	for name, missing := range map[string]bool{
		"Database": c.Database == nil, "Keys": c.Keys == nil, "Services": c.Services == nil, "Events": c.Events == nil,
		"Validate": c.Validate == nil, "Sender": c.Workers > 0 && c.Sender == nil, "Logger": c.Logger == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("queue: Config.%s is missing", name))
		}
	}
	return errors.Join(errs...)
}

// backoff returns the delay after a failed attempt, counted from 1: 2 s, 8 s, 32 s … up to 10
// minutes. A jitter of ±10% keeps jobs that failed together from retrying together.
func backoff(attempt int) time.Duration {
	const most = 10 * time.Minute
	d := 2 * time.Second
	for range attempt - 1 {
		if d = min(4*d, most); d == most {
			break
		}
	}
	return d - d/10 + rand.N(d/5) //nolint:gosec // only spreads load, not security-sensitive
}
