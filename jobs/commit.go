package jobs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A committer commits the changes of many callers together, as a batch: while
// one transaction commits, the next changes gather. A single change never waits
// for others.
type committer struct {
	// transact commits changes in one transaction. Its error means that none is
	// committed. A change that refuses itself has its own.
	transact func([]*change) error
	queue    chan *change
	deferred []*change                 // that could not be in the batch before; the loop's own
	since    atomic.Pointer[time.Time] // when the batch in hand began; see waits
	once     sync.Once
	closed   chan struct{}
	done     chan struct{}
}

// A change is what one caller wants done in a transaction.
type change struct {
	// names are what the change is about, such as the id of a job: no two changes of a
	// batch have one in common. Changes are applied in the order of their first.
	names []string
	// alone means that the change is a batch of its own.
	alone bool
	// size is how large what it writes is, in bytes, about.
	size int
	// lock is the id of the job whose row is locked and read before the change is
	// applied. A change of a delivery locks the delivery's job too, except a claim and
	// its release, which wait for nobody; with lockOnly the row is not read.
	lock     string
	lockOnly bool
	// known is that job as its row is, if nobody has changed it since; nil if that
	// isn't known. Then it is not read: the fence of what is written tells.
	known *Job
	// claim is the idempotency key that is claimed before; nil for none.
	claim *claim

	apply  func(ctx context.Context, b *batch) error
	result chan error
	err    error
}

const (
	maxBatch = 256
	// maxBatchSize is how large, in bytes, what a batch writes may be. One change
	// may be larger.
	maxBatchSize  = 8 << 20
	commitTimeout = 10 * time.Second
)

var errClosed = errors.New("the queue is closed")

// errStale means that the row of a job is not as it was known.
var errStale = errors.New("the job has been changed meanwhile")

// A refusal is the error of a change that decided to write nothing, so that
// it need not keep others from being committed.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refuse returns err as a refusal.
func refuse(err error) error { return refusal{err} }

func newCommitter(transact func([]*change) error) *committer {
	c := &committer{transact: transact, queue: make(chan *change, maxBatch), closed: make(chan struct{}), done: make(chan struct{})}
	go c.loop()
	return c
}

// close commits what was handed in and stops.
func (c *committer) close() {
	c.once.Do(func() { close(c.closed) })
	<-c.done
}

// commit applies a change and returns after it is committed. The change may
// be applied more than once, each time in a new transaction; all but the last
// are rolled back. When ctx ends first, the change may or may not happen.
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

// gather returns a batch of what waits: what was deferred, first, and what is
// queued, in this order. It defers what can't be in the batch.
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
			taken[name] = true // also for what comes after a deferred change
		}
	}
	// Two processes lock rows in the same order.
	slices.SortStableFunc(batch, func(a, b *change) int { return strings.Compare(a.name(), b.name()) })
	return batch
}

func (ch *change) name() string {
	if len(ch.names) == 0 {
		return ""
	}
	return ch.names[0]
}

// commitAll commits the batch in one transaction, or one by one when that
// fails, so that a bad change fails alone.
func (c *committer) commitAll(batch []*change) {
	c.since.Store(new(time.Now()))
	defer c.since.Store(nil)
	err := c.transact(batch)
	if errors.Is(err, errStale) {
		for _, ch := range batch {
			ch.known = nil
		}
		err = c.transact(batch)
	}
	strikes := 0
	for _, ch := range batch {
		switch {
		case err == nil:
		case len(batch) == 1 || strikes == 1:
			ch.err = err
		default:
			ch.known = nil
			if ch.err = cmp.Or(c.transact([]*change{ch}), ch.err); Unavailable(ch.err) {
				strikes, err = 1, ch.err // the rest would wait as long, one after the other
			}
		}
		ch.result <- ch.err
	}
}
