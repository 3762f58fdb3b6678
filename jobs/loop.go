package jobs

import (
	"context"
	"time"
)

// roundTimeout is how long one round of a loop may take. Without it a loop
// would wait for ever on a connection that is only half there.
const roundTimeout = 30 * time.Second

// every calls fn again and again until ctx is done.
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

// A roundLog logs the first of several errors in a row, so that a loop that fails
// every second does not fill the log.
type roundLog struct {
	queue   *Queue
	work    string // what the loop does
	failing bool   // the round before failed
}

// note logs a round's error unless the round before failed, too. The queue reports by
// itself that the database does not answer.
func (l *roundLog) note(ctx context.Context, err error) {
	switch {
	case err == nil, ctx.Err() != nil, l.queue.noteDatabase(ctx, err):
		l.failing = false
	case !l.failing:
		l.queue.Logger.ErrorContext(ctx, "periodic work failed, will try again", "work", l.work, "err", err)
		l.failing = true
	}
}
