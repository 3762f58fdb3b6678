// Package limits limits what clients can use of a server: responses with large outputs, submissions,
// streams and long polls.
package limits

import (
	"context"
	"io"
	"sync"
	"time"

	"coatcheck/api/conn"
	"coatcheck/api/problem"
)

const (
	// MaxOutputs is the maximum number of concurrent responses with a
	// large output. Each uses several times the memory of the output until the
	// client has read it.
	MaxOutputs = 16
	// maxOutputsPerAddress is the maximum number of these responses per
	// address.
	maxOutputsPerAddress = MaxOutputs / 2
	// largeTimeout is how long a response waits for a permit.
	largeTimeout = 8 * time.Second
	// closeSlowestAfter is how long a response waits before the slowest active
	// response is closed, if that has been active for longer than [conn.SlowAfter].
	closeSlowestAfter = time.Second
)

// Outputs limits the number of concurrent responses with a large output.
type Outputs struct {
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

// NewOutputs returns an Outputs that has all its permits.
func NewOutputs() *Outputs {
	return &Outputs{
		permits: make(chan struct{}, MaxOutputs), addresses: make(map[string]*addressPermits),
		active: make(map[*largeResponse]struct{}),
	}
}

// Acquire waits for a permit, first for one of the address and then for a
// global one. The caller must call release at the end of the response. The
// error is a problem. While responses are waiting, Acquire closes the
// connection of the slowest client.
func (q *Outputs) Acquire(ctx context.Context, address string, conn io.Closer) (release func(), err error) {
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
func (q *Outputs) closeSlowest(eligible func(*largeResponse) bool) {
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
func (q *Outputs) permitsOf(address string) *addressPermits {
	q.mu.Lock()
	defer q.mu.Unlock()
	permits := q.addresses[address]
	if permits == nil {
		permits = &addressPermits{permits: make(chan struct{}, maxOutputsPerAddress)}
		q.addresses[address] = permits
	}
	permits.users++
	return permits
}

func (q *Outputs) releaseAddress(response *largeResponse, permits *addressPermits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.active, response)
	if permits.users--; permits.users == 0 {
		delete(q.addresses, response.address)
	}
}
