package bench

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"coatcheck/api/client"
	"coatcheck/api/client/watch"
	"coatcheck/jobs"
)

// An operation is what a caller does again and again; it was to begin when it is
// due.
type operation func(ctx context.Context, due time.Time) error

// measure puts a load on the server and prints what came of it.
func (b *bench) measure(ctx context.Context, name string, op operation) error {
	m, err := b.load(ctx, op)
	if err != nil {
		return err
	}
	return b.print(m.figure(name))
}

// submits measures how fast jobs are accepted.
func (b *bench) submits(ctx context.Context) error {
	return b.measure(ctx, "submit", b.submitOne)
}

func (b *bench) submitOne(ctx context.Context, _ time.Time) error {
	_, err := b.submit(ctx, b.service, nil)
	return err
}

// polls measures how fast the status of a finished job is told: every other
// time the caller knows it already.
func (b *bench) polls(ctx context.Context) error {
	op, err := b.pollOne(ctx)
	if err != nil {
		return err
	}
	return b.measure(ctx, "poll", op)
}

func (b *bench) pollOne(ctx context.Context) (operation, error) {
	job, err := b.submit(ctx, b.service, nil)
	if err != nil {
		return nil, err
	}
	if err := b.seeWait(ctx, job); err != nil {
		return nil, err
	}
	if _, err := b.client.Call(ctx, http.MethodGet, job.StatusURL, nil, nil, &job); err != nil {
		return nil, err
	}
	known := http.Header{"If-None-Match": {job.ETag()}}
	var n atomic.Int64
	return func(ctx context.Context, _ time.Time) error {
		header, want := known, http.StatusNotModified
		if n.Add(1)%2 == 0 {
			header, want = nil, http.StatusOK
		}
		status, err := b.client.Call(ctx, http.MethodGet, b.client.URL+"/v1/jobs/"+job.ID, header, nil, nil)
		if err == nil && status != want {
			err = fmt.Errorf("%d, want %d", status, want)
		}
		return err
	}, nil
}

// endToEnd measures how long it takes from the submission until its caller
// knows the output.
func (b *bench) endToEnd(ctx context.Context, how string) error {
	op, err := b.untilEnd(how)
	if err != nil {
		return err
	}
	return b.measure(ctx, "e2e "+how, op)
}

func (b *bench) untilEnd(how string) (operation, error) {
	see, ok := map[string]func(context.Context, jobs.Job) error{"stream": b.seeStream, "wait": b.seeWait, "poll": b.seePoll}[how]
	if !ok {
		return nil, client.BadArgument(errors.New("--see: expected stream, wait or poll"))
	}
	return func(ctx context.Context, _ time.Time) error {
		job, err := b.submit(ctx, b.service, nil)
		if err != nil {
			return err
		}
		return see(ctx, job)
	}, nil
}

// seeStream watches the job's events.
func (b *bench) seeStream(ctx context.Context, job jobs.Job) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, job.EventsURL, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := b.client.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, watch.MaxEvent)
	ended := false
	for lines.Scan() {
		ended = ended || lines.Text() == "event: end"
	}
	if err := lines.Err(); err != nil || !ended {
		return cmp.Or(err, errors.New("the stream ended before the job"))
	}
	return nil
}

// seeWait asks for the job and lets the server answer when it has changed.
func (b *bench) seeWait(ctx context.Context, job jobs.Job) error {
	for !job.Done {
		if _, err := b.client.Call(ctx, http.MethodGet, job.StatusURL+"?wait=30", http.Header{"If-None-Match": {job.ETag()}}, nil, &job); err != nil {
			return err
		}
	}
	return nil
}

// pollInterval is how often seePoll asks.
const pollInterval = 10 * time.Millisecond

// seePoll asks for the job again and again.
func (b *bench) seePoll(ctx context.Context, job jobs.Job) error {
	for !job.Done {
		time.Sleep(pollInterval)
		if _, err := b.client.Call(ctx, http.MethodGet, job.StatusURL, nil, nil, &job); err != nil {
			return err
		}
	}
	return nil
}
