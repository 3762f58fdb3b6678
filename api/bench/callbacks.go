package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"coatcheck/api/client"
)

// A callbackBench measures callbacks at receivers of its own, with and
// without some that hang: a good sender lets the others not feel it.
type callbackBench struct {
	*bench
	receivers, hanging int
	hang               time.Duration
	pairs              int
}

func (c *callbackBench) prepare() error {
	if err := c.bench.prepare(); err != nil {
		return err
	}
	if c.rate == 0 || c.receivers < 1 || c.receivers > 1000 || c.hanging < 0 || c.hanging >= c.receivers || c.pairs < 1 || c.hang < 0 {
		return client.BadArgument(errors.New("expected a --rate, 1 to 1000 --receivers, fewer of them --hanging, and at least one of --pairs"))
	}
	return nil
}

// run measures without and with receivers that hang, by turns, and compares
// the medians.
func (c *callbackBench) run(ctx context.Context) error {
	var without, with []float64
	for range c.pairs {
		for _, hanging := range []int{0, c.hanging} {
			f, err := c.round(ctx, hanging)
			if err != nil {
				return err
			}
			if err := c.print(f); err != nil {
				return err
			}
			if hanging == 0 {
				without = append(without, f.P99)
			} else {
				with = append(with, f.P99)
			}
			if c.hanging == 0 {
				break
			}
		}
	}
	if c.hanging == 0 || c.json {
		return nil
	}
	a, b := median(without), median(with)
	_, err := fmt.Fprintf(c.Stdout, "p99 of healthy receivers, medians: %.2f ms without, %.2f ms with %d of %d hanging\n", a, b, c.hanging, c.receivers)
	return err
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// A fleet is the receivers of a round. It knows when each callback was due,
// which is when its job was.
type fleet struct {
	measured *measurement
	hang     time.Duration
	over     chan struct{} // closed at the end: who hangs may go

	mu      sync.Mutex
	due     map[string]time.Time // of the callbacks that healthy receivers wait for, by state
	twice   int
	arrived map[string]bool
}

// maxBody bounds the body of a callback, in bytes.
const maxBody = 4 << 20

// receive is what receiver n does with a callback.
func (f *fleet) receive(w http.ResponseWriter, r *http.Request, hangs bool) {
	if hangs {
		select {
		case <-time.After(f.hang):
		case <-f.over:
		case <-r.Context().Done():
		}
		return
	}
	at := time.Now()
	var body struct{ Data struct{ State string } }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	state := body.Data.State
	due, ok := f.due[state]
	if f.arrived[state] {
		f.twice++
		return
	}
	f.arrived[state] = true
	if ok && !due.IsZero() {
		f.measured.add(due, due, at, nil)
		f.due[state] = time.Time{}
	}
}

// missing returns how many callbacks have not come.
func (f *fleet) missing() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for state := range f.due {
		if !f.arrived[state] {
			n++
		}
	}
	return n
}

// start starts the receivers and returns their URLs; those that hang first.
func (f *fleet) start(ctx context.Context, receivers, hanging int) (urls []string, stop func(), err error) {
	var servers []*http.Server
	var wg sync.WaitGroup
	stop = func() {
		close(f.over)
		for _, s := range servers {
			s.Close()
		}
		wg.Wait()
	}
	for i := range receivers {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, fmt.Errorf("start a receiver: %w", err)
		}
		hangs := i < hanging
		s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.receive(w, r, hangs) })}
		servers = append(servers, s)
		wg.Go(func() { _ = s.Serve(ln) }) // until it is closed
		urls = append(urls, "http://"+ln.Addr().String()+"/")
	}
	return urls, stop, nil
}

// round measures once. The latency of a callback counts from when its job was
// due to be submitted until it arrives.
func (c *callbackBench) round(ctx context.Context, hanging int) (figure, error) {
	f := &fleet{measured: newMeasurement(), hang: c.hang, over: make(chan struct{}), due: make(map[string]time.Time), arrived: make(map[string]bool)}
	urls, stop, err := f.start(ctx, c.receivers, hanging)
	if err != nil {
		return figure{}, err
	}
	defer stop()
	var mu sync.Mutex
	n := 0
	began := time.Now()
	submitted, err := c.load(ctx, func(ctx context.Context, due time.Time) error {
		mu.Lock()
		n++
		state, to := strconv.Itoa(n), n%len(urls)
		mu.Unlock()
		if to >= hanging {
			f.mu.Lock()
			f.due[state] = time.Time{}
			if time.Since(began) > c.warmUp {
				f.due[state] = due
			}
			f.mu.Unlock()
		}
		_, err := c.submit(ctx, c.service, map[string]any{"callback_url": urls[to], "callback_state": state, "callback_events": []string{"job.succeeded"}})
		if err != nil {
			f.mu.Lock()
			delete(f.due, state)
			f.mu.Unlock()
		}
		return err
	})
	if err != nil {
		return figure{}, err
	}
	for deadline := time.Now().Add(30 * time.Second); f.missing() > 0 && time.Now().Before(deadline); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return figure{}, ctx.Err()
		}
	}
	f.measured.took = submitted.took
	result := f.measured.figure(fmt.Sprintf("%d hanging", hanging))
	of := submitted.figure("")
	result.LagP99, result.Errors = of.LagP99, of.Errors
	if missing := f.missing(); missing > 0 {
		result.Errors[fmt.Sprintf("%d callbacks of %d are missing", missing, n)]++
	}
	if f.twice > 0 {
		fmt.Fprintf(c.Stderr, "%d callbacks came twice\n", f.twice)
	}
	return result, nil
}
