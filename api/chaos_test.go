package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

// A lossyProxy stands before Redis and loses a share of the messages that it
// sends to subscribers.
type lossyProxy struct {
	net.Listener
	target string
	lose   atomic.Int64 // of 100
	lost   atomic.Int64
}

func newLossyProxy(t *testing.T, target string) *lossyProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &lossyProxy{Listener: ln, target: target}
	var wg sync.WaitGroup
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.target)
			if err != nil {
				in.Close()
				continue
			}
			wg.Go(func() { io.Copy(out, in); out.Close() })
			wg.Go(func() { p.copy(in, out); in.Close() })
		}
	})
	return p
}

// copy hands on the answers of Redis, without some messages.
func (p *lossyProxy) copy(in io.Writer, out io.Reader) {
	from := bufio.NewReader(out)
	for {
		answer, err := readRESP(from)
		if err != nil {
			return
		}
		if bytes.Contains(answer[:min(len(answer), 30)], []byte("$7\r\nmessage\r\n")) && rand.Int64N(100) < p.lose.Load() {
			p.lost.Add(1)
			continue
		}
		if _, err := in.Write(answer); err != nil {
			return
		}
	}
}

// readRESP reads one value of Redis's protocol, as it stands.
func readRESP(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		rest := make([]byte, n+2)
		_, err = io.ReadFull(r, rest)
		return append(line, rest...), err
	case '%':
		n *= 2
	case '*', '>', '~':
	default:
		n = 0
	}
	for range n {
		value, err := readRESP(r)
		if err != nil {
			return nil, err
		}
		line = append(line, value...)
	}
	return line, nil
}

// A roamingViewer watches a job on one server after another.
type roamingViewer struct {
	job jobs.Job

	mu        sync.Mutex
	last      notify.ID
	fresh     time.Time // of the newest progress it knows
	snapshots int
	chunk     int // that must come next; -1 for any
	ends      int
	wrong     []string
}

func (w *roamingViewer) record(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	note := func(format string, args ...any) {
		w.wrong = append(w.wrong, w.job.ID+": "+fmt.Sprintf(format, args...))
	}
	if w.ends > 0 {
		note("%s after the end", e.name)
	}
	if id, err := notify.ParseID(e.id); err == nil {
		if id.Compare(w.last) <= 0 {
			note("%s %s after %s", e.name, e.id, w.last)
		}
		w.last = id
	}
	var data struct {
		Index int
		At    time.Time
		Job   *jobs.Job
	}
	if err := json.Unmarshal([]byte(e.data), &data); err != nil {
		note("%s: %v", e.data, err)
	}
	switch e.name {
	case "snapshot":
		w.snapshots++
		w.chunk = -1
		if data.Job.Progress.UpdatedAt != nil {
			data.At = data.Job.Progress.UpdatedAt.Time
		}
	case "output":
		if w.chunk >= 0 && data.Index != w.chunk {
			note("chunk %d instead of %d", data.Index, w.chunk)
		}
		w.chunk = data.Index + 1
	case "end":
		w.ends++
	}
	if data.At.After(w.fresh) {
		w.fresh = data.At
	}
}

func (w *roamingViewer) state() (fresh time.Time, snapshots, ends int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fresh, w.snapshots, w.ends
}

// wander watches the job to its end, and stays nowhere for long.
func (w *roamingViewer) roam(ctx context.Context, t *testing.T, servers []*fixture) {
	for ctx.Err() == nil {
		v := servers[rand.N(len(servers))].watch(t, servers[rand.N(len(servers))].URL+path(w.job.EventsURL), "Last-Event-ID: "+w.last.String())
		if v.StatusCode == 204 {
			return
		}
		leave := time.After(time.Duration(50+rand.N(1000)) * time.Millisecond)
	reading:
		for {
			select {
			case e, ok := <-v.events:
				if !ok {
					break reading
				}
				if e.name != "ping" {
					w.record(e)
				}
			case <-leave:
				break reading
			case <-ctx.Done():
				break reading
			}
		}
		v.cancel()
		if _, _, ends := w.state(); ends > 0 {
			return
		}
	}
}

// Three servers on one PostgreSQL and one Redis, to which all kinds of things
// happen. Viewers wander between them; for each, ids grow, nothing is missing
// that a snapshot does not stand for, the end comes, and soon after Redis is
// back it knows how its job is. CHAOS=10m goes on for that long.
func TestStreamChaos(t *testing.T) {
	r := jobstest.PrivateRedis(t)
	url := jobstest.PostgresURL(t)
	rounds, end := 1, time.Time{}
	if d, err := time.ParseDuration(os.Getenv("CHAOS")); err == nil {
		rounds, end = 1<<30, time.Now().Add(d)
	}
	proxy := newLossyProxy(t, r.Addr)
	var servers []*fixture
	for range 3 {
		hub, err := notify.NewRedisHub("redis://"+proxy.Addr().String(), "chaos", slogDiscard)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, newFixture(t, jobstest.Open(t, url), options{hub: hub}))
	}
	for round := 0; round < rounds && (end.IsZero() || time.Now().Before(end)); round++ {
		chaos(t, r, proxy, servers)
		if t.Failed() {
			return
		}
	}
}

func chaos(t *testing.T, r *jobstest.Server, proxy *lossyProxy, servers []*fixture) {
	t.Helper()
	var viewers []*roamingViewer
	var wg sync.WaitGroup
	ctx, cancelAll := context.WithCancel(t.Context())
	for n := range 4 {
		job := servers[n%len(servers)].submit(t, "chatter", `{"input":{"chunks":1000000,"size":20,"pause":20}}`)
		for range 3 {
			w := &roamingViewer{job: job, chunk: -1, last: notify.ID{Version: 1}}
			viewers = append(viewers, w)
			wg.Go(func() { w.roam(ctx, t, servers) })
		}
	}
	defer wg.Wait()
	defer cancelAll() // also when something is wrong
	// fresh waits until all who have not seen the end know how things are
	// now. It takes less than three seconds where the machine is not busy.
	fresh := func(what string) {
		t.Helper()
		start := time.Now()
		for _, w := range viewers {
			waitFor(t, "the viewer knows how its job is, after "+what, 20*time.Second-time.Since(start), func() bool {
				at, _, ends := w.state()
				return at.After(start) || ends > 0
			})
		}
		t.Logf("%s: all know after %s", what, time.Since(start).Round(time.Millisecond))
	}
	fresh("the start")

	// While the log lasts, there is no gap, whatever happens to messages.
	before := make([]int, len(viewers))
	for i, w := range viewers {
		_, before[i], _ = w.state()
	}
	proxy.lose.Store(5)
	for range 20 {
		r.Do("CLIENT", "KILL", "TYPE", "pubsub")
		time.Sleep(200 * time.Millisecond) // chaos goes on for a while
	}
	proxy.lose.Store(0)
	for i, w := range viewers {
		if _, snapshots, _ := w.state(); snapshots != before[i] {
			t.Errorf("%d snapshots although the log lasts", snapshots-before[i])
		}
	}
	t.Logf("%d messages lost", proxy.lost.Load())

	if _, err := r.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	fresh("FLUSHALL")

	r.Kill()
	time.Sleep(2 * time.Second) // away for a while
	r.Start()
	fresh("a restart")

	r.Freeze()
	time.Sleep(5 * time.Second) // frozen for a while
	quarter := len(viewers) / 4
	cancel := func(some []*roamingViewer) {
		t.Helper()
		for _, w := range some {
			servers[0].do(t, "POST", "/v1/jobs/"+w.job.ID+"/cancel", "")
		}
	}
	cancel(viewers[:quarter]) // their end is lost for now
	time.Sleep(5 * time.Second)
	r.Thaw()
	fresh("ten frozen seconds")

	cancel(viewers[quarter:])
	wg.Wait()
	for _, w := range viewers {
		if len(w.wrong) > 0 || w.ends != 1 {
			t.Errorf("%d ends; %s", w.ends, strings.Join(w.wrong[:min(5, len(w.wrong))], "; "))
		}
	}
}
