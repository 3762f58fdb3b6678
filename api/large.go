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
	largeTimeout = 8 * time.Second
	// cutAfter is how long one waits before the slowest answer is cut off, if that
	// is under way for longer than slowAfter.
	cutAfter = time.Second
)

// A largeQueue is where answers with a large output wait for their turn.
type largeQueue struct {
	turns chan struct{} // holds a value for each answer under way

	mu        sync.Mutex
	addresses map[string]*addressTurns
	under     map[*largeTurn]struct{} // the answers under way
}

// A largeTurn is an answer under way.
type largeTurn struct {
	address string
	began   time.Time
	conn    *connection // nil if connections are not counted
}

// addressTurns are the turns of one address.
type addressTurns struct {
	turns chan struct{} // holds a value for each answer under way or next
	users int           // answers under way or waiting
}

func newLargeQueue() *largeQueue {
	return &largeQueue{turns: make(chan struct{}, maxLarge), addresses: make(map[string]*addressTurns), under: make(map[*largeTurn]struct{})}
}

// enter waits for a turn, first among the answers for the same address; the
// caller calls leave at its end. The error is a problem. When others
// wait, the connection of the slowest reader is closed.
func (q *largeQueue) enter(ctx context.Context, address string, conn *connection) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	own := q.join(address)
	queues := []chan struct{}{own.turns, q.turns}
	if address == "" { // this machine itself is not limited, because a proxy may be on it
		queues = queues[1:]
	}
	turn := &largeTurn{address: address, conn: conn}
	taken := 0
	leave = func() {
		for _, turns := range queues[:taken] {
			<-turns
		}
		q.part(turn, own)
	}
	tick := time.NewTicker(cutAfter)
	defer tick.Stop()
	for taken < len(queues) {
		select {
		case queues[taken] <- struct{}{}:
			taken++
		case <-tick.C:
			q.cutSlowest(func(t *largeTurn) bool { return queues[taken] == q.turns || t.address == address })
		case <-ctx.Done():
			leave()
			return nil, newProblem("unavailable", "too many large outputs are being sent; try again").after(largeTimeout)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	turn.began = time.Now()
	q.under[turn] = struct{}{}
	return leave, nil
}

// cutSlowest closes the connection of the answer of some that is under way for
// longest, if that is long.
func (q *largeQueue) cutSlowest(of func(*largeTurn) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var slowest *largeTurn
	for turn := range q.under {
		if of(turn) && turn.conn != nil && time.Since(turn.began) > slowAfter && (slowest == nil || turn.began.Before(slowest.began)) {
			slowest = turn
		}
	}
	if slowest != nil {
		slowest.conn.Close() // its answer ends with an error
		slowest.conn = nil   // and is cut off once
	}
}

// join returns the turns of the address; part gives them back.
func (q *largeQueue) join(address string) *addressTurns {
	q.mu.Lock()
	defer q.mu.Unlock()
	own := q.addresses[address]
	if own == nil {
		own = &addressTurns{turns: make(chan struct{}, maxLargeByAddress)}
		q.addresses[address] = own
	}
	own.users++
	return own
}

func (q *largeQueue) part(turn *largeTurn, own *addressTurns) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.under, turn)
	if own.users--; own.users == 0 {
		delete(q.addresses, turn.address)
	}
}

// complete reads the output of a job that was read without, because it is
// large, when it is the turn of this answer. The turn ends with the request.
func (a *API) complete(ctx context.Context, job *jobs.Job) error {
	info := infoOf(ctx)
	leave, err := a.completeFor(ctx, info, job)
	if leave != nil {
		info.atEnd = append(info.atEnd, leave)
	}
	return err
}

// completeFor is [API.complete] for a caller who ends the turn himself. Without
// a large output there is no turn, and leave is nil.
func (a *API) completeFor(ctx context.Context, info *requestInfo, job *jobs.Job) (leave func(), err error) {
	if !job.OutputOmitted {
		return nil, nil
	}
	address := ""
	for _, seat := range seatsOf(info.remoteAddr, new(requestInfo)) {
		address = seat.name
	}
	if leave, err = a.large.enter(ctx, address, info.conn); err != nil {
		return nil, err
	}
	if job.Output, err = a.Queue.Output(ctx, job.ID); err != nil {
		leave()
		return nil, err
	}
	job.OutputOmitted = false
	return leave, nil
}
