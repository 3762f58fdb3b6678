package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// A batch is one transaction with the changes of many callers. It reads the rows of their jobs,
// applies the changes, and then writes the results with one statement per kind.
type batch struct {
	q    *Queue
	tx   store.Tx
	now  store.Time
	rows map[string]jobs.Job // by id, of the jobs that the changes lock

	inserts              []*jobs.Job
	updates              []*update
	deliveries           []*Delivery
	outcomes             []*outcome
	logs                 []loggedPart
	riverInserts         []riverInsert
	positions            []queuePosition
	finishedWithProgress []string // ids of finished jobs whose waiting progress deliveries are deleted
	riverQueues          []string // River queues that received a job
	announcements        []announcement
	lastWrites           []func(context.Context) error // writes to other tables; run last, to keep the lock order
}

// An update is the new row of a job.
type update struct {
	before, job jobs.Job
	effects     jobs.Effects
	now         store.Time
}

// A riverInsert is a River job to insert. The id that River assigns is stored in riverJobID.
type riverInsert struct {
	river.InsertManyParams
	jobID      string // the id of the job
	riverJobID *int64
}

// A queuePosition moves a new River job to the position of another in the queue.
type queuePosition struct{ riverJobID, replaced *int64 }

// transact commits changes in one transaction.
func (q *Queue) transact(changes []*change) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	defer func() { q.noteDatabase(ctx, err) }()
	tx, err := q.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	b := &batch{q: q, tx: tx}
	if err := b.change(q.db.StatementContext(ctx), changes); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, lane := range b.riverQueues {
		q.db.NotifyRiver(lane)
	}
	for _, a := range b.announcements {
		q.dispatcher.announce(a.to, a.at.Time)
	}
	return nil
}

// change applies the changes and writes their results.
func (b *batch) change(ctx context.Context, changes []*change) error {
	if err := b.claimKeys(ctx, changes); err != nil {
		return err
	}
	if err := b.lockRows(ctx, changes); err != nil {
		return err
	}
	b.now = store.At(time.Now())
	for _, ch := range changes {
		ch.err = ch.apply(ctx, b)
		_, refused := errors.AsType[refusal](ch.err)
		if refused && ch.cached != nil {
			return errStale // the refusal may be based on an outdated row
		}
		if ch.err != nil && !refused {
			return ch.err
		}
	}
	return b.flush(ctx)
}

// insert adds the row of a new job to the batch.
func (b *batch) insert(j *jobs.Job) {
	if j.Status == jobs.Queued {
		b.insertRiverJob(j)
	}
	b.inserts = append(b.inserts, j)
}

// update adds the new row of a job and the effects of its transition to the batch.
func (b *batch) update(ctx context.Context, u *update) error {
	e := &u.effects
	if e.Callback != "" {
		if err := b.addCallback(&u.job, e); err != nil {
			return err
		}
	}
	if e.CancelRiverJob != 0 {
		if _, err := b.q.river.JobCancelTx(ctx, b.tx.Tx, e.CancelRiverJob); err != nil && !errors.Is(err, river.ErrNotFound) {
			return fmt.Errorf("cancel River job: %w", err)
		}
	}
	if e.Enqueue {
		b.insertRiverJob(&u.job)
	}
	if e.QueuePosition != 0 {
		b.positions = append(b.positions, queuePosition{&u.job.RiverJobID, &e.QueuePosition})
	}
	if e.Log != nil {
		b.logs = append(b.logs, loggedPart{u.job.ID, *e.Log})
	}
	u.now = b.now
	b.updates = append(b.updates, u)
	return nil
}

// insertRiverJob adds a River job for j to the batch.
func (b *batch) insertRiverJob(j *jobs.Job) {
	b.riverInserts = append(b.riverInserts, riverInsert{
		river.InsertManyParams{Args: runArgs{service: j.Chain[j.Step-1].Service, JobID: j.ID}, InsertOpts: &river.InsertOpts{
			Queue: b.q.riverQueue(j.Chain[j.Step-1].Service), Priority: j.Priority, MaxAttempts: riverAttempts,
		}}, j.ID, &j.RiverJobID,
	})
}

// flush writes the results of the applied changes.
func (b *batch) flush(ctx context.Context) error {
	if err := b.insertRiverJobs(ctx); err != nil {
		return err
	}
	if err := b.dropProgress(ctx); err != nil {
		return err
	}
	if _, err := deliveryInserter.Write(ctx, b.tx, b.deliveries); err != nil {
		return fmt.Errorf("insert deliveries: %w", err)
	}
	if err := b.saveOutcomes(ctx); err != nil {
		return err
	}
	if err := b.insertJobs(ctx); err != nil {
		return err
	}
	if err := b.updateJobs(ctx); err != nil {
		return err
	}
	if err := b.saveLogs(ctx); err != nil {
		return err
	}
	for _, write := range b.lastWrites {
		if err := write(ctx); err != nil {
			return err
		}
	}
	return nil
}

// insertRiverJobs inserts the River jobs of the batch.
func (b *batch) insertRiverJobs(ctx context.Context) error {
	if len(b.riverInserts) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(b.riverInserts))
	for i, c := range b.riverInserts {
		params[i] = c.InsertManyParams
		if !slices.Contains(b.riverQueues, c.InsertOpts.Queue) {
			b.riverQueues = append(b.riverQueues, c.InsertOpts.Queue)
		}
	}
	results, err := b.q.river.InsertManyTx(ctx, b.tx.Tx, params)
	if err != nil {
		return fmt.Errorf("insert River jobs: %w", err)
	}
	for i, c := range b.riverInserts { // River returns the results in the order of the parameters
		if len(results) != len(params) || !bytes.Contains(results[i].Job.EncodedArgs, []byte(c.jobID)) {
			return errors.New("insert River jobs: River returned other jobs")
		}
		*c.riverJobID = results[i].Job.ID
	}
	for _, p := range b.positions {
		// The new River job gets a time just before the old one's. River would leave a job whose
		// time is in the past to its scheduler. Among jobs with the same time, the lowest id goes
		// first, and the new job has the highest.
		if _, err := b.tx.ExecContext(ctx, `UPDATE river_job SET scheduled_at = (SELECT `+b.q.db.JustBefore("scheduled_at")+` FROM river_job WHERE id = $1)
			WHERE id = $2 AND scheduled_at >= (SELECT scheduled_at FROM river_job WHERE id = $1)`, *p.replaced, *p.riverJobID); err != nil {
			return fmt.Errorf("keep the job's queue position: %w", err)
		}
	}
	return nil
}
