package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"coatcheck/api/client"
	"coatcheck/jobs"
)

// drain submits jobs and measures how fast they are worked off, by what the
// jobs themselves say. Without workers it waits for some to be started.
func (b *bench) drain(ctx context.Context, count int) error {
	if count < 1 || count > 1_000_000 {
		return client.BadArgument(errors.New("--jobs: expected 1 to 1000000"))
	}
	tag := fmt.Sprintf("bench-%x", time.Now().UnixNano())
	var done atomic.Int64
	stop := b.showProgress("jobs submitted", &done, time.Time{})
	err := b.each(ctx, count, func(ctx context.Context, _ int) error {
		_, err := b.submit(ctx, b.service, map[string]any{"tags": []string{tag}})
		done.Add(1)
		return err
	})
	stop()
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	fmt.Fprintf(b.Stderr, "%d jobs wait\n", count)
	oldest, newest, ended, err := b.ends(ctx, b.client.URL+"/v1/jobs?tag="+tag)
	if err != nil {
		return err
	}
	if ended != count {
		return fmt.Errorf("%d jobs were submitted, %d have succeeded", count, ended)
	}
	took := newest.Sub(oldest)
	if b.json {
		return json.NewEncoder(b.Stdout).Encode(map[string]any{"name": "drain", "count": count, "took_ms": took.Milliseconds(), "rate": float64(count) / took.Seconds()})
	}
	_, err = fmt.Fprintf(b.Stdout, "%-12s %8d  %9.1f/s  in %s\n", "drain", count, float64(count)/took.Seconds(), took.Round(time.Millisecond))
	return err
}

// ends waits until all jobs of a list have ended, and returns when the first
// began, the last ended, and how many there are.
func (b *bench) ends(ctx context.Context, list string) (first, last time.Time, count int, err error) {
	type page struct {
		Data       []jobs.Job
		NextCursor *string `json:"next_cursor"`
	}
	for {
		var unfinished page
		if _, err := b.client.Call(ctx, http.MethodGet, list+"&limit=1&status=scheduled,queued,running,retrying", nil, nil, &unfinished); err != nil {
			return first, last, count, err
		}
		if len(unfinished.Data) == 0 {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return first, last, count, ctx.Err()
		}
	}
	for cursor := ""; ; {
		var p page
		if _, err := b.client.Call(ctx, http.MethodGet, list+"&limit=200"+cursor, nil, nil, &p); err != nil {
			return first, last, count, err
		}
		count += len(p.Data)
		for _, job := range p.Data {
			if job.Status != jobs.Succeeded {
				return first, last, count, fmt.Errorf("job %s %s", job.ID, job.Status)
			}
			if first.IsZero() || job.StartedAt.Before(first) {
				first = job.StartedAt.Time
			}
			if job.FinishedAt.After(last) {
				last = job.FinishedAt.Time
			}
		}
		if p.NextCursor == nil {
			return first, last, count, nil
		}
		cursor = "&cursor=" + url.QueryEscape(*p.NextCursor)
	}
}
