package api

import (
	"context"
	"io"
	"sync"
	"time"

	"coatcheck/api/conn"
	"coatcheck/api/problem"
	"coatcheck/jobs"
)

const (
	// maxLargeOutputs is the maximum number of concurrent responses with a
	// large output. Each uses several times the memory of the output until the
	// client has read it.
	maxLargeOutputs = 16
	// maxLargeOutputsPerAddress is the maximum number of these responses per
	// address.
	maxLargeOutputsPerAddress = maxLargeOutputs / 2
	// largeTimeout is how long a response waits for a permit.
	largeTimeout = 8 * time.Second
	// closeSlowestAfter is how long a response waits before the slowest active
	// response is closed, if that has been active for longer than [conn.SlowAfter].
	closeSlowestAfter = time.Second
)

// A largeQueue limits the number of concurrent responses with a large output.
type largeQueue struct {
	permits chan struct{} // one element per active response

	mu        sync.Mutex // guards addresses, active and the fields of their values
	addresses map[string]*addressPermits
	active    map[*largeResponse]struct{} // responses that hold a permit
}

// A largeResponse is a response with a large output.
type largeResponse struct {
	address   string
	startedAt time.Time
	conn      io.Closer // nil if connections are not counted
}

// addressPermits are the permits of one address.
type addressPermits struct {
	permits chan struct{} // one element per response that is active or waits for a global permit
	users   int           // responses that are active or waiting
}

func newLargeQueue() *largeQueue {
	return &largeQueue{
		permits: make(chan struct{}, maxLargeOutputs), addresses: make(map[string]*addressPermits),
		active: make(map[*largeResponse]struct{}),
	}
}

// acquire waits for a permit, first for one of the address and then for a
// global one. The caller must call release at the end of the response. The
// error is a problem. While responses are waiting, acquire closes the
// connection of the slowest client.
func (q *largeQueue) acquire(ctx context.Context, address string, conn io.Closer) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	perAddress := q.permitsOf(address)
	queues := []chan struct{}{perAddress.permits, q.permits}
	if address == "" { // loopback clients have no limit per address, because a proxy may run on this machine
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
			return nil, problem.New("unavailable",
				"too many large outputs are being sent; try again").RetryAfter(largeTimeout)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	response.startedAt = time.Now()
	q.active[response] = struct{}{}
	return release, nil
}

// closeSlowest closes the connection of the eligible response that has been
// active longest, if that is longer than [conn.SlowAfter].
func (q *largeQueue) closeSlowest(eligible func(*largeResponse) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var slowest *largeResponse
	for response := range q.active {
		if eligible(response) && response.conn != nil && time.Since(response.startedAt) > conn.SlowAfter &&
			(slowest == nil || response.startedAt.Before(slowest.startedAt)) {
			slowest = response
		}
	}
	if slowest != nil {
		slowest.conn.Close() // its response fails
		slowest.conn = nil   // close it only once
	}
}

// permitsOf returns the permits of the address. The caller must call
// releaseAddress.
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

// LoadOutput reads the output of a job that was read without it because the
// output is large. It waits for a permit, which is released at the end of the
// request.
func (a *API) LoadOutput(ctx context.Context, job *jobs.Job) error {
	info := InfoOf(ctx)
	release, err := a.acquireOutput(ctx, info, job)
	if release != nil {
		info.onEnd = append(info.onEnd, release)
	}
	return err
}

// acquireOutput is [API.loadOutput] for callers that release the permit
// themselves. If the job has no large output, no permit is needed and release
// is nil.
func (a *API) acquireOutput(ctx context.Context, info *RequestInfo, job *jobs.Job) (release func(), err error) {
	if !job.OutputOmitted {
		return nil, nil
	}
	address := ""
	for _, q := range quotasOf(info.remoteAddr, new(RequestInfo)) {
		address = q.key
	}
	var closer io.Closer
	if info.conn != nil {
		closer = info.conn
	}
	if release, err = a.largeOutputs.acquire(ctx, address, closer); err != nil {
		return nil, err
	}
	if job.Output, err = a.Queue.Output(ctx, job.ID); err != nil {
		release()
		return nil, err
	}
	job.OutputOmitted = false
	return release, nil
}
