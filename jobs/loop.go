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
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			err := within(ctx, roundTimeout, fn)
			switch {
			case err == nil, ctx.Err() != nil, q.noteDatabase(ctx, err):
				failing = false
			case !failing: // said once, not every second
				q.Logger.ErrorContext(ctx, "housekeeping failed, will try again", "err", err)
				failing = true
			}
		}
	})
}
