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

// A bell notifies River's client in this process of new jobs in a SQLite database. River's own
// listener would poll a table every 50 ms, and each insert would write to that table.
type bell struct {
	rung chan struct{} // has a value when queues is not empty

	mu     sync.Mutex // guards queues
	queues []string
}

func newBell() *bell { return &bell{rung: make(chan struct{}, 1)} }

// ring notifies River of a new job in a queue. It may be called before the commit: until then the
// transaction holds the only write connection, and River waits for it.
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

// next removes and returns a queue that has a new job.
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

// bellDriver is River's driver for SQLite with a bell as its listener. It does not send River's
// other notifications (pauses and leadership): River's client also polls for them every few
// seconds.
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
