package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// A riverNotifier notifies River's client in this process of new jobs in a SQLite database. River's
// own listener would poll a table every 50 ms, and each insert would write to that table.
type riverNotifier struct {
	signal chan struct{} // has a value when queues is not empty

	mu     sync.Mutex // guards queues
	queues []string
}

func newRiverNotifier() *riverNotifier { return &riverNotifier{signal: make(chan struct{}, 1)} }

// notify notifies River of a new job in a queue. It may be called before the commit: until then the
// transaction holds the only write connection, and River waits for it.
func (b *riverNotifier) notify(queue string) {
	b.mu.Lock()
	if !slices.Contains(b.queues, queue) {
		b.queues = append(b.queues, queue)
	}
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// next removes and returns a queue that has a new job.
func (b *riverNotifier) next() (queue string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queues) == 0 {
		return "", false
	}
	queue = b.queues[0]
	b.queues = slices.Delete(b.queues, 0, 1)
	return queue, true
}

// A notifierDriver is River's driver for SQLite with a riverNotifier as its listener. It does not
// send River's other notifications (pauses and leadership): River's client also polls for them
// every few seconds.
type notifierDriver struct {
	*riversqlite.Driver
	notifier *riverNotifier
}

func newNotifierDriver(db *sql.DB, b *riverNotifier) notifierDriver {
	return notifierDriver{riversqlite.New(db), b}
}

// GetListener implements [riverdriver.Driver].
func (d notifierDriver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return notifierListener{d.notifier}
}

// SupportsListenNotify implements [riverdriver.Driver].
func (d notifierDriver) SupportsListenNotify() bool { return false }

// A notifierListener is a [riverdriver.Listener] that needs no connection.
type notifierListener struct{ notifier *riverNotifier }

func (notifierListener) Close(context.Context) error            { return nil }
func (notifierListener) Connect(context.Context) error          { return nil }
func (notifierListener) Listen(context.Context, string) error   { return nil }
func (notifierListener) Ping(context.Context) error             { return nil }
func (notifierListener) Schema() string                         { return "" }
func (notifierListener) SetAfterConnectExec(string)             {}
func (notifierListener) Unlisten(context.Context, string) error { return nil }

// WaitForNotification implements [riverdriver.Listener].
func (l notifierListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if queue, ok := l.notifier.next(); ok {
			return &riverdriver.Notification{Topic: "river_insert", Payload: fmt.Sprintf(`{"queue": %q}`, queue)}, nil
		}
		select {
		case <-l.notifier.signal:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
