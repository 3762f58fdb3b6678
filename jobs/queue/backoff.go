package queue

import (
	"math/rand/v2"
	"time"
)

// backoff returns the delay after a failed attempt, counted from 1: 2 s, 8 s, 32 s … up to 10
// minutes. A jitter of ±10% keeps jobs that failed together from retrying together.
func backoff(attempt int) time.Duration {
	const most = 10 * time.Minute
	d := 2 * time.Second
	for range attempt - 1 {
		if d = min(4*d, most); d == most {
			break
		}
	}
	return d - d/10 + rand.N(d/5) //nolint:gosec // only spreads load, not security-sensitive
}
