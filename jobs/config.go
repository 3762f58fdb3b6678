package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"coatcheck/notify"
)

// A Publisher takes the events of jobs to whoever watches. It does not wait
// for long, and what it loses costs only latency.
type Publisher interface {
	Publish(topic string, e notify.Event) error
	// Erase takes back what is kept of a topic's events.
	Erase(topic string) error
}

// A Config is what a [Queue] needs.
type Config struct {
	Database *Database
	// Keys are those in the database.
	Keys     *Keys
	Services *Registry
	Events   Publisher
	// Viewers are told when the table knows more than they; nil when nobody
	// watches jobs in this process.
	Viewers Viewers
	// Sender sends callbacks; Schedule says when to try again, by default
	// [notify.DefaultSchedule].
	Sender   *notify.Sender
	Schedule notify.Schedule
	// Validate checks an input that was made of the output of a step before
	// against the schema of its service.
	Validate func(service string, input []byte) error
	// Workers is how many jobs run at once in this process; 0 means that
	// others run them.
	Workers int
	// CallbackWorkers is how many callbacks are sent at once. Default 200.
	CallbackWorkers int
	// CallbackHold is how long a receiver that failed five times in a row is
	// left alone, at first; it doubles up to twenty times that. Default 30 seconds.
	CallbackHold time.Duration
	// MaxTimeout is the longest timeout a caller may ask for. Default 24 hours.
	MaxTimeout time.Duration
	// Retain is how long a record is kept after the job's end. Default 24 hours.
	Retain time.Duration
	// MaxQueued is how many jobs may wait; 0 means no limit.
	MaxQueued int64
	// Backoff is how long a job waits after its failed attempt, counted from
	// 1. Default 2 s, 8 s, 32 s … up to 10 minutes.
	Backoff func(attempt int) time.Duration
	// MaxQueuedByUser is how many jobs of one user may wait; 0 means no limit.
	MaxQueuedByUser int64
	// CancelGrace is how long a run may go on after it was told to stop; then
	// its job goes on without it. Default 10 seconds.
	CancelGrace time.Duration
	// Isolate returns a command that calls [RunIsolated] with its standard input
	// and output. Jobs that may have killed a worker run in such a process
	// each. nil runs them like any other.
	Isolate func(ctx context.Context) (*exec.Cmd, error)
	// StuckAfter is how long a job may wait for an idle worker before that
	// is taken for a fault. Default 30 seconds.
	StuckAfter time.Duration
	// StopTimeout is how long running jobs may go on when the queue stops.
	// Default 20 seconds.
	StopTimeout time.Duration
	Logger      *slog.Logger
}

func (c *Config) complete() error {
	c.CallbackWorkers = cmp.Or(c.CallbackWorkers, 200)
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
	var errs []error
	for name, missing := range map[string]bool{
		"Database": c.Database == nil, "Keys": c.Keys == nil, "Services": c.Services == nil, "Events": c.Events == nil, "Validate": c.Validate == nil,
		"Sender": c.Workers > 0 && c.Sender == nil, "Logger": c.Logger == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("jobs: Config.%s is missing", name))
		}
	}
	return errors.Join(errs...)
}
