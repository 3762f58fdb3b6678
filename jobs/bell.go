package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// A bell tells River's client in this process that a queue of a SQLite database
// has a new job. River's own listener reads a table for that every 50 ms, to
// which each insert writes.
type bell struct {
	rung chan struct{} // has a value when there are queues

	mu     sync.Mutex
	queues []string
}

func newBell() *bell { return &bell{rung: make(chan struct{}, 1)} }

// ring says that a queue has a new job. It may be called before the commit: the
// only connection that writes is the transaction's until then, and River waits
// for it.
func (b *bell) ring(queue string) {
	b.mu.Lock()
	if !slices.Contains(b.queues, queue) {
		b.queues = append(b.queues, queue)
	}
	b.mu.Unlock()
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// next returns a queue that has a new job, and forgets it.
func (b *bell) next() (queue string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queues) == 0 {
		return "", false
	}
	queue = b.queues[0]
	b.queues = slices.Delete(b.queues, 0, 1)
	return queue, true
}

// bellDriver is River's driver for SQLite, with the bell as its listener. The
// other notifications of River's, of pauses and of its leader, are not sent: a
// client also looks for them every few seconds.
type bellDriver struct {
	*riversqlite.Driver
	bell *bell
}

func newBellDriver(db *sql.DB, b *bell) bellDriver { return bellDriver{riversqlite.New(db), b} }

// GetListener implements [riverdriver.Driver].
func (d bellDriver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return bellListener{d.bell}
}

// SupportsListenNotify implements [riverdriver.Driver].
func (d bellDriver) SupportsListenNotify() bool { return false }

// bellListener is a [riverdriver.Listener] that needs no connection.
type bellListener struct{ bell *bell }

func (bellListener) Close(context.Context) error            { return nil }
func (bellListener) Connect(context.Context) error          { return nil }
func (bellListener) Listen(context.Context, string) error   { return nil }
func (bellListener) Ping(context.Context) error             { return nil }
func (bellListener) Schema() string                         { return "" }
func (bellListener) SetAfterConnectExec(string)             {}
func (bellListener) Unlisten(context.Context, string) error { return nil }

// WaitForNotification implements [riverdriver.Listener].
func (l bellListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if queue, ok := l.bell.next(); ok {
			return &riverdriver.Notification{Topic: "river_insert", Payload: fmt.Sprintf(`{"queue": %q}`, queue)}, nil
		}
		select {
		case <-l.bell.rung:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
