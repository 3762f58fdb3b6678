package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"coatcheck/api/client"
	"coatcheck/jobs"
)

// An eventRound is some jobs and those who watch them, for a while.
type eventRound struct {
	name                   string
	jobs, viewers, stalled int
	rate                   float64 // of each job's events; 0: the jobs do not start
	size                   int

	measured *measurement
	from, to atomic.Int64 // what is said in between is measured, in nanoseconds since 1970
	seen     atomic.Int64 // events
	passed   atomic.Int64 // events in whose place a viewer who was late got a snapshot

	submitted []jobs.Job
	gate      chan struct{} // holds as many as may open a stream at once
}

// patienceForEvents is how long viewers may take to come, to see the first
// event, and to see the end.
const patienceForEvents = time.Minute

var errNoRoom = errors.New("the server had no room for a viewer: see the limits in its configuration")

// run has all viewers see the first event, then does what is to be done
// meanwhile, and has all of them see the end.
func (r *eventRound) run(ctx context.Context, b *bench, meanwhile func(context.Context) error) (err error) {
	r.measured, r.gate = newMeasurement(), make(chan struct{}, b.callers)
	defer func() { err = errors.Join(err, r.cancel(ctx, b)) }()
	if err := r.submit(ctx, b); err != nil {
		return err
	}
	viewing, leave := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer leave()
	come, gone := make(chan error, r.viewers), make(chan error, r.viewers)
	for i := range r.viewers {
		url := r.submitted[i%len(r.submitted)].EventsURL
		wg.Go(func() { gone <- r.view(viewing, url, come) })
	}
	if err := gather(ctx, come, "see an event; perhaps the server's --concurrency is too low"); err != nil {
		return err
	}
	for range r.stalled {
		v, err := openViewer(ctx, r.submitted[0].EventsURL)
		if err != nil {
			return err
		}
		defer v.conn.Close()
		if tcp, ok := v.conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096) // it stalls sooner
		}
	}
	if err := meanwhile(ctx); err != nil {
		return err
	}
	if err := r.cancel(ctx, b); err != nil {
		return err
	}
	return gather(ctx, gone, "see the end")
}

// gather waits until all viewers have said that they are so far.
func gather(ctx context.Context, said <-chan error, what string) error {
	timeout := time.NewTimer(patienceForEvents)
	defer timeout.Stop()
	for n := range cap(said) {
		select {
		case err := <-said:
			if err != nil {
				return err
			}
		case <-timeout.C:
			return fmt.Errorf("%d of %d viewers do not %s", cap(said)-n, cap(said), what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// view is what a viewer does. It says when it has come.
func (r *eventRound) view(ctx context.Context, url string, come chan<- error) (err error) {
	here, ended, late, next, got := false, false, false, -1, 0
	defer func() {
		if !here {
			come <- cmp.Or(err, errNoRoom)
		}
	}()
	open := sync.OnceFunc(func() { <-r.gate })
	defer open()
	r.gate <- struct{}{}
	v, err := openViewer(ctx, url)
	if err != nil {
		return err
	}
	err = v.follow(ctx, func(name string, data []byte) error {
		now := time.Now()
		open()
		got++
		switch name {
		case "log":
			n, said, err := parseTick(data)
			if err != nil {
				return err
			}
			switch {
			case next < 0 || n == next:
			case late && n > next:
				r.passed.Add(int64(n - next))
			default:
				r.measured.fail(errors.New("events are missing or twice"), max(n-next, next-n))
			}
			next, late = n+1, false
			r.seen.Add(1)
			if at := said.UnixNano(); r.from.Load() <= at && at < r.to.Load() {
				r.measured.record(now.Sub(said))
			}
		case "snapshot":
			late = got > 1
		case "end":
			ended = true
		}
		if !here && (name == "log" || r.rate == 0) {
			here = true
			come <- nil
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case got == 0:
		return errNoRoom
	case !ended:
		return errors.New("a viewer was cut off before the end")
	}
	return nil
}

// submit submits the jobs.
func (r *eventRound) submit(ctx context.Context, b *bench) error {
	lasting := 2*patienceForEvents + b.warmUp + b.duration
	service, more := ServiceName, map[string]any{"max_attempts": 1, "input": map[string]any{"rate": r.rate, "seconds": min(3600, lasting.Seconds()), "bytes": r.size}}
	if r.rate == 0 {
		service, more = b.service, map[string]any{"delay": "1h"}
	}
	var mu sync.Mutex
	err := b.each(ctx, r.jobs, func(ctx context.Context, _ int) error {
		job, err := b.submit(ctx, service, more)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			r.submitted = append(r.submitted, job)
		}
		return err
	})
	if e, ok := errors.AsType[*client.ProblemError](err); ok && e.Status == http.StatusNotFound {
		return fmt.Errorf("the server does not offer %s: start it, and its workers, with --bench", service)
	}
	return err
}

// cancel cancels the jobs, once.
func (r *eventRound) cancel(ctx context.Context, b *bench) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	submitted := r.submitted
	r.submitted = nil
	return b.each(ctx, len(submitted), func(ctx context.Context, i int) error {
		_, err := b.client.Call(ctx, http.MethodPost, b.client.URL+"/v1/jobs/"+submitted[i].ID+"/cancel", nil, []byte("{}"), nil)
		if e, ok := errors.AsType[*client.ProblemError](err); ok && e.Code == "already-finished" {
			return nil
		}
		return err
	})
}
