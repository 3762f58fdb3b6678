package api

import (
	"context"
	"sync"
	"time"

	"coatcheck/jobs"
)

const (
	// maxLarge is how many answers with a large output may be under way: each
	// takes several times the memory of the output, until it is read.
	maxLarge = 16
	// maxLargeByAddress is how many of them may be for one address.
	maxLargeByAddress = maxLarge / 2
	// largeTimeout is how long one waits for its turn.
	largeTimeout = 5 * time.Second
)

// A largeQueue is where answers with a large output wait for their turn.
type largeQueue struct {
	turns chan struct{} // holds a value for each answer under way

	mu        sync.Mutex
	addresses map[string]int // how many are under way or wait
}

func newLargeQueue() *largeQueue {
	return &largeQueue{turns: make(chan struct{}, maxLarge), addresses: make(map[string]int)}
}

// enter waits for a turn; the caller calls leave at its end. The error is a
// problem.
func (q *largeQueue) enter(ctx context.Context, address string) (leave func(), err error) {
	busy := newProblem("unavailable", "too many large outputs are being sent; try again").after(largeTimeout)
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	if !q.count(address) {
		return nil, busy
	}
	select {
	case q.turns <- struct{}{}:
		return func() { <-q.turns; q.discount(address) }, nil
	case <-ctx.Done():
		q.discount(address)
		return nil, busy
	}
}

// count notes an answer for an address, or returns false when it has too many.
// This machine itself is not limited, because a proxy may be on it.
func (q *largeQueue) count(address string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if address != "" && q.addresses[address] >= maxLargeByAddress {
		return false
	}
	q.addresses[address]++
	return true
}

func (q *largeQueue) discount(address string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.addresses[address]--; q.addresses[address] == 0 {
		delete(q.addresses, address)
	}
}

// complete reads the output of a job that was read without, because it is
// large, when it is the turn of this answer. The turn ends with the request.
func (a *API) complete(ctx context.Context, job *jobs.Job) error {
	info := infoOf(ctx)
	leave, err := a.completeFor(ctx, info.remoteAddr, job)
	if leave != nil {
		info.atEnd = append(info.atEnd, leave)
	}
	return err
}

// completeFor is [API.complete] for a caller who ends the turn himself. Without
// a large output there is no turn, and leave is nil.
func (a *API) completeFor(ctx context.Context, remoteAddr string, job *jobs.Job) (leave func(), err error) {
	if !job.OutputOmitted {
		return nil, nil
	}
	address := ""
	for _, seat := range seatsOf(remoteAddr, new(requestInfo)) {
		address = seat.name
	}
	if leave, err = a.large.enter(ctx, address); err != nil {
		return nil, err
	}
	if job.Output, err = a.Queue.Output(ctx, job.ID); err != nil {
		leave()
		return nil, err
	}
	job.OutputOmitted = false
	return leave, nil
}
