// Package queue stores and runs jobs: submit, run, finish, cancel, remove, recover, call back. The table
// jobs is the source of truth. River carries jobs to workers; its rows are only transport.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"coatcheck/jobs/counts"
	"coatcheck/jobs/store"
)

// maxIsolated is the maximum number of isolated runs per process.
const maxIsolated = 16

// A Queue accepts jobs and, if it has workers, runs them.
type Queue struct {
	Config
	db         *store.DB
	river      *river.Client[*sql.Tx]
	committer  *committer
	dispatcher *dispatcher // nil without workers
	views      *views
	states     *stateReader
	queued     *queuedJobs
	order      *publishOrder
	workerID   string
	waiting    atomic.Int64 // number of waiting jobs, as last counted
	audited    time.Time    // when viewers were last audited; used only by audit's loop
	reconciled string       // the last job id that was compared with River; used only by reconcile's loop
	reaper     reaper
	health     *health
	counters   counters
	metrics    *metrics
	tally      counts.Tally
	// Each is used only by its own loop:
	idleJobs, idleDeliveries idle
	clock                    clock
	head                     head
	headChecked              time.Time // when the head of the queue was last checked
	lastSaved                string    // id of the job whose progress was saved last

	mu      sync.Mutex      // guards runs, working and owners
	runs    map[string]*run // this process's runs, by job id
	working map[string]int  // how many goroutines work on a job or delivery, by its id
	owners  map[string]int64

	abandonedSlots chan struct{}      // one value for each slot with an abandoned service
	isolated       chan struct{}      // one value for each isolated run
	once           sync.Once          // for closing stopping
	stopping       chan struct{}      // closed when the queue begins to stop
	stopped        <-chan struct{}    // closed when the loops end
	stop           context.CancelFunc // ends the loops
	wg             sync.WaitGroup
}

// New returns a queue on a migrated database. Call Start before using it.
func New(c Config) (*Queue, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("create worker id: %w", err)
	}
	q := &Queue{
		Config: c, db: c.Database,
		views: newViews(), queued: newQueuedJobs(), order: newPublishOrder(), states: &stateReader{db: c.Database.Keyed}, workerID: id.String(),
		health: newHealth(c.Logger, c.Files != nil), metrics: newMetrics(c.Services), runs: make(map[string]*run),
		working: make(map[string]int), abandonedSlots: make(chan struct{}, c.Workers),
		isolated: make(chan struct{}, maxIsolated), stopping: make(chan struct{}),
	}
	if q.Workers > 0 {
		q.dispatcher = newDispatcher(q)
	}
	if q.river, err = river.NewClient(q.db.Driver, q.riverConfig()); err != nil {
		return nil, fmt.Errorf("create River client: %w", err)
	}
	return q, nil
}

// Start starts accepting jobs and, if the queue has workers, running them.
func (q *Queue) Start(ctx context.Context) error {
	q.committer = newCommitter(q.transact)
	if err := q.countWaiting(ctx); err != nil {
		q.committer.close()
		return err
	}
	ctx, q.stop = context.WithCancel(context.WithoutCancel(ctx))
	q.stopped = ctx.Done()
	if q.Workers > 0 {
		if err := q.recoverAtStart(ctx); err != nil {
			q.stop()
			q.committer.close()
			return err
		}
		if err := q.river.Start(ctx); err != nil {
			q.stop()
			q.committer.close()
			return fmt.Errorf("start River: %w", err)
		}
		q.wg.Go(q.dispatcher.run)
		q.every(ctx, heartbeatInterval, q.heartbeat)
		q.every(ctx, reconcileInterval, q.reconcile)
		if q.db.Postgres() {
			q.every(ctx, reapInterval, q.reap)
		}
		q.every(ctx, 200*time.Millisecond, q.promote)
		q.every(ctx, time.Second, q.housekeeping)
		q.every(ctx, time.Second, q.removeExpired)
		q.every(ctx, time.Second, q.saveReports)
		q.every(ctx, time.Second, q.checkSlots)
		if q.Files != nil {
			q.wg.Go(func() { q.sweepFiles(ctx) })
		}
	}
	if q.Viewers != nil {
		q.every(ctx, time.Second, q.audit)
	}
	q.every(ctx, counts.SaveInterval, q.saveTally)
	q.every(ctx, time.Second, q.countWaiting)
	q.every(ctx, time.Second, q.checkDatabase)
	q.every(ctx, queueInterval, q.checkQueue)
	if q.Files != nil {
		q.every(ctx, filesInterval, q.checkFiles)
	}
	return nil
}

// saveTally saves the counts of ended jobs.
func (q *Queue) saveTally(ctx context.Context) error { return q.tally.Save(ctx, q.db, q.workerID) }

// Stop starts no more jobs and waits for the running ones until StopTimeout. It requeues the rest
// and returns when all of the queue's goroutines have ended or ctx is done.
func (q *Queue) Stop(ctx context.Context) error {
	var err error
	q.once.Do(func() { close(q.stopping) })
	if q.Workers > 0 {
		dispatched := make(chan struct{})
		q.wg.Go(func() {
			defer close(dispatched)
			q.dispatcher.stop(ctx)
		})
		if err = q.river.Stop(ctx); err != nil {
			err = fmt.Errorf("stop River: %w", err)
		}
		<-dispatched
	}
	q.stop()
	q.wg.Wait()
	q.committer.close()
	if err := within(context.WithoutCancel(ctx), store.CallTimeout, q.saveTally); err != nil {
		q.Logger.WarnContext(ctx, "the last counts of ended jobs are lost", "err", err)
	}
	if q.Workers > 0 {
		err = errors.Join(err, q.unregisterWorker(context.WithoutCancel(ctx)))
	}
	return err
}

// roundTimeout limits one round of a loop. Without it, a loop could wait forever on a half-open
// connection.
const roundTimeout = 30 * time.Second

// every calls fn at an interval until ctx is done.
func (q *Queue) every(ctx context.Context, interval time.Duration, fn func(context.Context) error) {
	q.wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		log := roundLog{queue: q, work: "housekeeping"}
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			log.note(ctx, within(ctx, roundTimeout, fn))
		}
	})
}

// A roundLog logs only the first of consecutive errors, so that a loop that fails every second does
// not flood the log.
type roundLog struct {
	queue   *Queue
	work    string // what the loop does
	failing bool   // whether the previous round failed
}

// note logs a round's error unless the previous round failed too. Errors of the database's state
// are not logged here: the health check reports them.
func (l *roundLog) note(ctx context.Context, err error) {
	switch {
	case err == nil, ctx.Err() != nil, l.queue.noteDatabase(ctx, err):
		l.failing = false
	case !l.failing:
		l.queue.Logger.ErrorContext(ctx, "periodic task failed, will retry", "work", l.work, "err", err)
		l.failing = true
	}
}
