package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A committer commits the changes of many callers together: while one
// transaction commits, the next changes gather. A single change never waits
// for others.
type committer struct {
	db *sql.DB
	// observe is told how each transaction ended.
	observe func(context.Context, error) bool
	queue   chan *change
	since   atomic.Pointer[time.Time] // when the batch in hand began; see waits
	once    sync.Once
	closed  chan struct{}
	done    chan struct{}
}

// A change is what one caller wants done in a transaction.
type change struct {
	key    string // what it locks: changes of a batch are applied in this order
	apply  func(ctx context.Context, tx *sql.Tx) error
	result chan error
	err    error
}

const (
	maxBatch      = 256
	commitTimeout = 10 * time.Second
)

var errClosed = errors.New("the queue is closed")

// A refusal is the error of a change that decided to write nothing, so that
// it need not keep others from being committed.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// refuse returns err as a refusal.
func refuse(err error) error { return refusal{err} }

func newCommitter(db *sql.DB, observe func(context.Context, error) bool) *committer {
	c := &committer{db: db, observe: observe, queue: make(chan *change, maxBatch), closed: make(chan struct{}), done: make(chan struct{})}
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
func (c *committer) commit(ctx context.Context, key string, apply func(ctx context.Context, tx *sql.Tx) error) error {
	ch := &change{key: key, apply: apply, result: make(chan error, 1)}
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
		select {
		case first := <-c.queue:
			c.commitAll(c.gather(first))
		case <-c.closed:
			for {
				select {
				case first := <-c.queue:
					c.commitAll(c.gather(first))
				default:
					return
				}
			}
		}
	}
}

// gather returns first and what else is waiting, in the order of the keys so
// that two processes lock rows in the same order.
func (c *committer) gather(first *change) []*change {
	batch := []*change{first}
	for len(batch) < maxBatch {
		select {
		case ch := <-c.queue:
			batch = append(batch, ch)
			continue
		default:
		}
		break
	}
	slices.SortStableFunc(batch, func(a, b *change) int { return cmp.Compare(a.key, b.key) })
	return batch
}

// commitAll commits the batch in one transaction, or one by one when that
// fails, so that a bad change fails alone.
func (c *committer) commitAll(batch []*change) {
	c.since.Store(new(time.Now()))
	defer c.since.Store(nil)
	err := c.transact(batch)
	strikes := 0
	for _, ch := range batch {
		switch {
		case err == nil:
		case len(batch) == 1 || strikes == 1:
			ch.err = err
		default:
			if ch.err = cmp.Or(c.transact([]*change{ch}), ch.err); Unavailable(ch.err) {
				strikes, err = 1, ch.err // the rest would wait as long, one after the other
			}
		}
		ch.result <- ch.err
	}
}

func (c *committer) transact(batch []*change) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	defer func() { c.observe(ctx, err) }()
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	for _, ch := range batch {
		ch.err = ch.apply(ctx, tx)
		if _, refused := errors.AsType[refusal](ch.err); ch.err != nil && !refused {
			return ch.err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
