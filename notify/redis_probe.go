package notify

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// probeInterval is how often Redis is probed while there are no events.
const probeInterval = 2 * time.Second

// probe checks whether Redis would accept events while there are none, until ctx is done.
// Publishers do not wait for it.
func (f *redisFeed) probe(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !f.outbox.idle() {
			continue // sending them shows it
		}
		err := f.check(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.note(ctx, err); err != nil {
			f.outbox.requeue(nil)
		} else {
			f.outbox.markAvailable()
		}
	}
}

// check runs the script without events.
func (f *redisFeed) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, responseTimeout)
	defer cancel()
	// A connection from the time of a password that was removed since still gets NOAUTH from HELLO,
	// though not from the script.
	err := checkNoCluster(ctx, f.client)
	if errors.Is(err, errCluster) || isOutage(err) && !redis.HasErrorPrefix(err, "NOAUTH") {
		return err
	}
	return appendScript.Run(ctx, f.client, nil, logAge.Milliseconds()).Err()
}
