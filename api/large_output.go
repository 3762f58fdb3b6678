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
	maxLargeOutputs = 16
	// maxLargeByAddress is how many of them may be for one address.
	maxLargeOutputsPerAddress = maxLargeOutputs / 2
	// largeTimeout is how long one waits for its turn.
	largeTimeout = 8 * time.Second
	// cutAfter is how long one waits before the slowest answer is cut off, if that
	// is under way for longer than slowAfter.
	closeSlowestAfter = time.Second
)

// A largeQueue is where answers with a large output wait for their turn.
type largeQueue struct {
	permits chan struct{} // holds a value for each answer under way

	mu        sync.Mutex
	addresses map[string]*addressPermits
	active    map[*largeResponse]struct{} // the answers under way
}

// A largeTurn is an answer under way.
type largeResponse struct {
	address   string
	startedAt time.Time
	conn      *connection // nil if connections are not counted
}

// addressTurns are the turns of one address.
type addressPermits struct {
	permits chan struct{} // holds a value for each answer under way or next
	users   int           // answers under way or waiting
}

func newLargeQueue() *largeQueue {
	return &largeQueue{permits: make(chan struct{}, maxLargeOutputs), addresses: make(map[string]*addressPermits), active: make(map[*largeResponse]struct{})}
}

// enter waits for a turn, first among the answers for the same address; the
// caller calls leave at its end. The error is a problem. When others
// wait, the connection of the slowest reader is closed.
func (q *largeQueue) acquire(ctx context.Context, address string, conn *connection) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	perAddress := q.permitsOf(address)
	queues := []chan struct{}{perAddress.permits, q.permits}
	if address == "" { // this machine itself is not limited, because a proxy may be on it
		queues = queues[1:]
	}
	response := &largeResponse{address: address, conn: conn}
	taken := 0
	release = func() {
		for _, permits := range queues[:taken] {
			<-permits
		}
		q.releaseAddress(response, perAddress)
	}
	tick := time.NewTicker(closeSlowestAfter)
	defer tick.Stop()
	for taken < len(queues) {
		select {
		case queues[taken] <- struct{}{}:
			taken++
		case <-tick.C:
			q.closeSlowest(func(t *largeResponse) bool { return queues[taken] == q.permits || t.address == address })
		case <-ctx.Done():
			release()
			return nil, newProblem("unavailable", "too many large outputs are being sent; try again").retryAfter(largeTimeout)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	response.startedAt = time.Now()
	q.active[response] = struct{}{}
	return release, nil
}

// cutSlowest closes the connection of the answer of some that is under way for
// longest, if that is long.
func (q *largeQueue) closeSlowest(eligible func(*largeResponse) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var slowest *largeResponse
	for response := range q.active {
		if eligible(response) && response.conn != nil && time.Since(response.startedAt) > slowAfter && (slowest == nil || response.startedAt.Before(slowest.startedAt)) {
			slowest = response
		}
	}
	if slowest != nil {
		slowest.conn.Close() // its answer ends with an error
		slowest.conn = nil   // and is cut off once
	}
}

// join returns the turns of the address; part gives them back.
func (q *largeQueue) permitsOf(address string) *addressPermits {
	q.mu.Lock()
	defer q.mu.Unlock()
	permits := q.addresses[address]
	if permits == nil {
		permits = &addressPermits{permits: make(chan struct{}, maxLargeOutputsPerAddress)}
		q.addresses[address] = permits
	}
	permits.users++
	return permits
}

func (q *largeQueue) releaseAddress(response *largeResponse, permits *addressPermits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.active, response)
	if permits.users--; permits.users == 0 {
		delete(q.addresses, response.address)
	}
}

// complete reads the output of a job that was read without, because it is
// large, when it is the turn of this answer. The turn ends with the request.
func (a *API) loadOutput(ctx context.Context, job *jobs.Job) error {
	info := infoOf(ctx)
	release, err := a.acquireOutput(ctx, info, job)
	if release != nil {
		info.onEnd = append(info.onEnd, release)
	}
	return err
}

// completeFor is [API.complete] for a caller who ends the turn himself. Without
// a large output there is no turn, and leave is nil.
func (a *API) acquireOutput(ctx context.Context, info *requestInfo, job *jobs.Job) (release func(), err error) {
	if !job.OutputOmitted {
		return nil, nil
	}
	address := ""
	for _, q := range quotasOf(info.remoteAddr, new(requestInfo)) {
		address = q.key
	}
	if release, err = a.largeOutputs.acquire(ctx, address, info.conn); err != nil {
		return nil, err
	}
	if job.Output, err = a.Queue.Output(ctx, job.ID); err != nil {
		release()
		return nil, err
	}
	job.OutputOmitted = false
	return release, nil
}
