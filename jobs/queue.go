// Package jobs is the life of a job: submit, run, finish, cancel, remove. The
// table jobs is the truth about it; River carries jobs to workers and its
// rows are only transport.
package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"coatcheck/notify"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// A Publisher takes the events of jobs to whoever watches. It does not wait
// for long, and what it loses costs only latency.
type Publisher interface {
	Publish(topic string, e notify.Event) error
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

// A Queue takes jobs and, when it has workers, runs them.
type Queue struct {
	Config
	// Sessions are the browsers that are signed in.
	Sessions *Sessions
	// Receivers are the page's test receivers.
	Receivers  *Receivers
	db         *Database
	river      *river.Client[*sql.Tx]
	committer  *committer
	gates      *gates
	workerID   string
	waiting    atomic.Int64 // jobs that wait, as last counted
	audited    time.Time    // when viewers were last audited; the loop's own
	reconciled string       // how far the table is compared with River's; the loop's own
	reaper     reaper
	health     *health
	counters   counters
	// The loops' own:
	suspects  map[string]time.Time // jobs fetched and not started, since when
	clock     clock
	head      head
	looked    time.Time // when the queue's head was last looked at
	lastSaved string    // the job whose report was saved last

	mu      sync.Mutex
	runs    map[string]*run // by job id: those of this process
	working map[string]int  // by job id: how often this process works at it
	owners  map[string]int64

	deaf     chan struct{}      // one for each slot whose service was left behind
	once     sync.Once          // to close
	stopping chan struct{}      // closed when the queue begins to stop
	stopped  <-chan struct{}    // closed when the loops end
	stop     context.CancelFunc // ends the loops
	wg       sync.WaitGroup
}

// New returns a queue on a migrated database. Call Start before use.
func New(c Config) (*Queue, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make worker id: %w", err)
	}
	q := &Queue{Config: c, Sessions: &Sessions{c.Database}, Receivers: NewReceivers(c.Database, c.Keys), db: c.Database, gates: newGates(), workerID: id.String(), health: newHealth(c.Logger), runs: make(map[string]*run), working: make(map[string]int), deaf: make(chan struct{}, c.Workers), stopping: make(chan struct{})}
	if q.river, err = river.NewClient(q.db.driver, q.riverConfig()); err != nil {
		return nil, fmt.Errorf("create River client: %w", err)
	}
	return q, nil
}

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
		jobQueue:      {MaxWorkers: q.Workers, FetchCooldown: 10 * time.Millisecond},
		callbackQueue: {MaxWorkers: q.CallbackWorkers, FetchCooldown: 20 * time.Millisecond},
		retryQueue:    {MaxWorkers: max(1, q.CallbackWorkers/2), FetchCooldown: 20 * time.Millisecond},
	}
	return c
}

// Start begins to take jobs, and to run them when the queue has workers.
func (q *Queue) Start(ctx context.Context) error {
	q.committer = newCommitter(q.db.write, q.noteDatabase)
	if err := q.count(ctx); err != nil {
		q.committer.close()
		return err
	}
	ctx, q.stop = context.WithCancel(context.WithoutCancel(ctx))
	q.stopped = ctx.Done()
	if q.Workers > 0 {
		if err := q.recoverFirst(ctx); err != nil {
			q.stop()
			q.committer.close()
			return err
		}
		if err := q.river.Start(ctx); err != nil {
			q.stop()
			q.committer.close()
			return fmt.Errorf("start River: %w", err)
		}
		q.every(ctx, beatInterval, q.beat)
		q.every(ctx, reconcileInterval, q.reconcile)
		if q.db.postgres {
			q.every(ctx, reapInterval, q.reap)
		}
		q.every(ctx, 200*time.Millisecond, q.promote)
		q.every(ctx, time.Second, q.keepHouse)
		q.every(ctx, time.Second, q.removeOld)
		q.every(ctx, time.Second, q.saveReports)
		q.every(ctx, time.Second, q.checkSlots)
	}
	if q.Viewers != nil {
		q.every(ctx, time.Second, q.audit)
	}
	q.every(ctx, time.Second, q.count)
	q.every(ctx, time.Second, q.checkDatabase)
	q.every(ctx, queueInterval, q.checkQueue)
	return nil
}

// Stop takes no more jobs to run, waits for the running ones until
// StopTimeout, hands the rest back unharmed, and returns when nothing of the
// queue runs any more or ctx is done.
func (q *Queue) Stop(ctx context.Context) error {
	var err error
	q.once.Do(func() { close(q.stopping) })
	if q.Workers > 0 {
		if err = q.river.Stop(ctx); err != nil {
			err = fmt.Errorf("stop River: %w", err)
		}
	}
	q.stop()
	q.wg.Wait()
	q.committer.close()
	if q.Workers > 0 {
		err = errors.Join(err, q.signOff(context.WithoutCancel(ctx)))
	}
	return err
}

// roundTimeout is how long one round of a loop may take. Without it a loop
// would wait for ever on a connection that is only half there.
const roundTimeout = 30 * time.Second

// every calls fn again and again until ctx is done.
func (q *Queue) every(ctx context.Context, interval time.Duration, fn func(context.Context) error) {
	q.wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			err := within(ctx, roundTimeout, fn)
			switch {
			case err == nil, ctx.Err() != nil, q.noteDatabase(ctx, err):
				failing = false
			case !failing: // said once, not every second
				q.Logger.ErrorContext(ctx, "housekeeping failed, will try again", "err", err)
				failing = true
			}
		}
	})
}
