package queue

import (
	"context"
	"time"
)

// roundTimeout limits one round of a loop. Without it, a loop could wait forever on a half-open
// connection.
const roundTimeout = 30 * time.Second

// every calls fn at an interval until ctx is done.
func (q *Queue) every(ctx context.Context, interval time.Duration, fn func(context.Context) error) {
	q.wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		log := roundLog{queue: q, work: "housekeeping"}
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			log.note(ctx, within(ctx, roundTimeout, fn))
		}
	})
}

// A roundLog logs only the first of consecutive errors, so that a loop that fails every second does
// not flood the log.
type roundLog struct {
	queue   *Queue
	work    string // what the loop does
	failing bool   // whether the previous round failed
}

// note logs a round's error unless the previous round failed too. Errors of the database's state
// are not logged here: the health check reports them.
func (l *roundLog) note(ctx context.Context, err error) {
	switch {
	case err == nil, ctx.Err() != nil, l.queue.noteDatabase(ctx, err):
		l.failing = false
	case !l.failing:
		l.queue.Logger.ErrorContext(ctx, "periodic task failed, will retry", "work", l.work, "err", err)
		l.failing = true
	}
}
