package queue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"coatcheck/jobs"
)

// A committer commits the changes of many callers together, as a batch: while one transaction
// commits, the next changes accumulate. A single change never waits for others.
type committer struct {
	// transact commits changes in one transaction. If it returns an error, none is committed. A
	// change that refuses has its own error in err.
	transact func([]*change) error
	queue    chan *change
	deferred []*change                 // changes that did not fit in the last batch; used only by loop
	since    atomic.Pointer[time.Time] // when the current batch began; see waits
	once     sync.Once
	closed   chan struct{}
	done     chan struct{}
}

// A change is what one caller wants to do in a transaction.
type change struct {
	// names identify what the change affects, such as the id of a job. Two changes with a name in
	// common never share a batch. Changes are applied in the order of their first name.
	names []string
	// alone means that the change needs a batch of its own.
	alone bool
	// size is the approximate size of what the change writes, in bytes.
	size int
	// lock is the id of the job whose row is locked and read before the change is applied. A change
	// to a delivery locks the delivery's job too, except for claims and their release, which must
	// not wait. With lockOnly, the row is locked but not read.
	lock     string
	lockOnly bool
	// cached is the job's row as last written by this process; nil if it is not cached. With cached
	// set, the row is not read: the fence detects whether another process has changed it since.
	cached *jobs.Job
	// claim is the idempotency key to claim first; nil for none.
	claim *claim

	apply  func(ctx context.Context, b *batch) error
	result chan error
	err    error
}

const (
	maxBatch = 256
	// maxBatchSize is the maximum size in bytes of what a batch writes. A single change may exceed
	// it.
	maxBatchSize  = 8 << 20
	commitTimeout = 10 * time.Second
)

var errClosed = errors.New("the queue is closed")

// errStale means that a cached row is outdated.
var errStale = errors.New("the cached row of the job is outdated")

// A refusal is the error of a change that decided to write nothing. It does not keep the rest of
// the batch from being committed.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refuse wraps err in a refusal.
func refuse(err error) error { return refusal{err} }

func newCommitter(transact func([]*change) error) *committer {
	c := &committer{
		transact: transact, queue: make(chan *change, maxBatch), closed: make(chan struct{}), done: make(chan struct{}),
	}
	go c.loop()
	return c
}

// close commits the submitted changes and stops the committer.
func (c *committer) close() {
	c.once.Do(func() { close(c.closed) })
	<-c.done
}

// commit submits a change and returns after it is committed. The change may be applied more than
// once, each time in a new transaction; all but the last are rolled back. If ctx ends first, the
// change may or may not be committed.
func (c *committer) commit(ctx context.Context, ch *change) error {
	ch.result = make(chan error, 1)
	select {
	case c.queue <- ch:
	case <-c.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-ch.result:
		if refused, ok := errors.AsType[refusal](err); ok {
			return refused.error
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		select {
		case err := <-ch.result:
			return err
		default:
			return errClosed
		}
	}
}

func (c *committer) loop() {
	defer close(c.done)
	for {
		if len(c.deferred) > 0 {
			c.commitAll(c.gather(nil))
			continue
		}
		select {
		case first := <-c.queue:
			c.commitAll(c.gather(first))
		case <-c.closed:
			for {
				select {
				case first := <-c.queue:
					c.commitAll(c.gather(first))
				default:
					if len(c.deferred) == 0 {
						return
					}
					c.commitAll(c.gather(nil))
				}
			}
		}
	}
}

// gather returns the next batch: first the deferred changes, then the queued ones, in order. It
// defers changes that cannot be in this batch.
func (c *committer) gather(first *change) []*change {
	waiting := c.deferred
	c.deferred = nil
	if first != nil {
		waiting = append(waiting, first)
	}
	for len(waiting) < maxBatch {
		select {
		case ch := <-c.queue:
			waiting = append(waiting, ch)
			continue
		default:
		}
		break
	}
	var batch []*change
	taken, size := make(map[string]bool), 0
	for _, ch := range waiting {
		full := len(batch) > 0 && (ch.alone || batch[0].alone || size+ch.size > maxBatchSize)
		if full || slices.ContainsFunc(ch.names, func(name string) bool { return taken[name] }) {
			c.deferred = append(c.deferred, ch)
		} else {
			batch = append(batch, ch)
			size += ch.size
		}
		for _, name := range ch.names {
			taken[name] = true // also blocks changes that come after a deferred change
		}
	}
	// All processes lock rows in the same order.
	slices.SortStableFunc(batch, func(a, b *change) int { return strings.Compare(a.name(), b.name()) })
	return batch
}

func (ch *change) name() string {
	if len(ch.names) == 0 {
		return ""
	}
	return ch.names[0]
}

// commitAll commits the batch in one transaction. If that fails, it commits the changes one by one,
// so that a bad change fails alone.
func (c *committer) commitAll(batch []*change) {
	c.since.Store(new(time.Now()))
	defer c.since.Store(nil)
	err := c.transact(batch)
	if errors.Is(err, errStale) {
		for _, ch := range batch {
			ch.cached = nil
		}
		err = c.transact(batch)
	}
	unavailable := 0
	for _, ch := range batch {
		switch {
		case err == nil:
		case len(batch) == 1 || unavailable == 1:
			ch.err = err
		default:
			ch.cached = nil
			if ch.err = cmp.Or(c.transact([]*change{ch}), ch.err); Unavailable(ch.err) {
				unavailable, err = 1, ch.err // the remaining changes would time out too, one after the other
			}
		}
		ch.result <- ch.err
	}
}
