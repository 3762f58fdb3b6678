//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
	"coatcheck/notify/webhook"
)

var chaosJobs = flag.Int("chaos-jobs", 100, "how many jobs TestCallbackChaos submits in each mode")

// Receivers fail, hang, reset, ask to wait, die and come back, while the
// processes that call them are killed and lose their database. In the end each
// outcome was told at least once, none that did not happen, and what came twice
// came with the same id and the same bytes.
func TestCallbackChaos(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := newCallbackChaos(t, "127.0.0.2", nil)
		c.start("serve")
		c.run(nil)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		database := jobstest.PostgresURL(t)
		c := newCallbackChaos(t, "127.0.0.3", []string{"DATABASE_URL=" + database, "SECRET_KEY=the secret of this test", "REDIS_URL=" + jobstest.RedisURL(t), "REDIS_PREFIX=" + filepath.Base(database)})
		c.start("serve", "--no-worker")
		c.start("worker")
		c.start("worker")
		db, err := sql.Open("pgx", database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		c.run(func() error {
			_, err := db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			return err
		})
	})
}

// A callbackChaos is the run of one mode.
type callbackChaos struct {
	t       *testing.T
	dir     string
	env     []string
	addr    string
	ip      string // of the receivers: while one is dead, nobody else shall get its port
	victims []*victim
	over    chan struct{}
	stop    func() // no process is started any more
	wg      sync.WaitGroup
	calm    atomic.Bool // receivers behave from now on
	// What has happened so far, and by the last time that a process was killed.
	happened, killed atomic.Int64
	key              string

	mu       sync.Mutex
	accepted map[string]string // job ids, with what to expect of them
	told     map[string][]receipt
}

// A receipt is a callback that arrived.
type receipt struct {
	id, event string
	digest    [sha256.Size]byte
	answered  bool // with 204
}

func newCallbackChaos(t *testing.T, ip string, env []string) *callbackChaos {
	c := &callbackChaos{t: t, ip: ip, dir: t.TempDir(), addr: jobstest.FreeAddr(t), over: make(chan struct{}), accepted: make(map[string]string), told: make(map[string][]receipt)}
	var schedule []string
	for range 99 {
		schedule = append(schedule, "300ms")
	}
	file := filepath.Join(c.dir, "config.yaml")
	config := "addr: " + c.addr + "\ndata: " + c.dir + "\nconcurrency: 20\nlog: {level: debug}\n" +
		"callbacks: {timeout: 1s, hold: 200ms, schedule: [0s, " + strings.Join(schedule, ", ") + "]}\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.env = slices.Concat(env, []string{"CONFIG_FILENAME=" + file})
	c.stop = sync.OnceFunc(func() {
		close(c.over)
		c.wg.Wait()
	})
	return c
}

// start starts a process, and starts it again whenever it ends by itself: a
// worker before the migration, say.
func (c *callbackChaos) start(args ...string) {
	v := newVictim(c.t, c.dir, fmt.Sprint(args[0], len(c.victims)), c.env, args...)
	c.victims = append(c.victims, v)
	c.t.Cleanup(c.stop) // before the process is ended for good
	c.wg.Go(func() {
		for {
			v.lives()
			select {
			case <-c.over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// killOne kills a process that runs jobs, unless nothing has happened since the
// last time: on a slow machine, processes must live long enough to do something.
func (c *callbackChaos) killOne() {
	happened, before := c.happened.Load(), c.killed.Load()
	if happened-before < max(10, int64(*chaosJobs/12)) || !c.killed.CompareAndSwap(before, happened) {
		return
	}
	c.victims[len(c.victims)-1-rand.N(max(1, len(c.victims)-1))].end(syscall.SIGKILL)
}

// run submits jobs while all goes wrong, and then compares what was told with
// what happened.
func (c *callbackChaos) run(cut func() error) {
	t := c.t
	var urls []string
	for i := range 20 {
		urls = append(urls, c.receiver(i)+"/hook?secret=do-not-log-me")
	}
	c.createKey()
	troubles := make(chan struct{})
	var trouble sync.WaitGroup
	trouble.Go(func() {
		for {
			select {
			case <-troubles:
				return
			case <-time.After(700*time.Millisecond + rand.N(time.Second)):
			}
			if cut != nil && rand.N(2) == 0 {
				if err := cut(); err != nil && t.Context().Err() == nil {
					t.Error(err)
				}
				continue
			}
			c.killOne()
		}
	})
	var callers sync.WaitGroup
	next := atomic.Int64{}
	for range 16 {
		callers.Go(func() {
			for {
				n := int(next.Add(1))
				if n > *chaosJobs {
					return
				}
				c.submit(n, urls[n%len(urls)])
			}
		})
	}
	callers.Wait()
	c.until("half of the outcomes are told", func() bool { return c.answered() >= *chaosJobs/2 })
	close(troubles)
	trouble.Wait()
	c.calm.Store(true)
	c.until("every outcome is told", func() bool { return c.answered() >= *chaosJobs })
	c.check()
}

// until waits for something that takes longer the more jobs there are.
func (c *callbackChaos) until(what string, happened func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2*time.Minute + time.Duration(*chaosJobs)*50*time.Millisecond); !happened(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Errorf("it does not come to this: %s (%d of %d are)", what, c.answered(), *chaosJobs)
			c.mu.Lock()
			defer c.mu.Unlock()
			for id, want := range c.accepted {
				if !slices.ContainsFunc(c.told[id], func(r receipt) bool { return r.answered }) {
					_, answer := c.call("GET", "/v1/jobs/"+id, "")
					c.t.Logf("%s, %s:\n%s", id, want, answer)
				}
			}
			c.t.FailNow()
		}
	}
}

// answered counts the jobs whose end was told and taken.
func (c *callbackChaos) answered() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.accepted {
		for _, r := range c.told[id] {
			if r.answered {
				n++
				break
			}
		}
	}
	return n
}

// call makes a request until it is answered with other than 5xx.
func (c *callbackChaos) call(method, path, body string, header ...string) (status int, answer []byte) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.addr+path, strings.NewReader(body))
		if err != nil {
			c.t.Error(err)
			return 0, nil
		}
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		answer, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && resp.StatusCode < 500 {
			return resp.StatusCode, answer
		}
	}
	c.t.Errorf("%s %s is never answered", method, path)
	return 0, nil
}

func (c *callbackChaos) createKey() {
	status, answer := c.call("POST", "/v1/callback-keys", "")
	var key struct{ Secret string }
	if err := json.Unmarshal(answer, &key); err != nil || status != http.StatusCreated {
		c.t.Fatalf("create key: %d %s", status, answer)
	}
	c.key = key.Secret
}

// submit submits a job of one of the kinds of outcome.
func (c *callbackChaos) submit(n int, url string) {
	service, input, more, want := "maths.add", fmt.Sprintf(`{"a":%d,"b":1}`, n), "", "job.succeeded"
	switch n % 8 {
	case 5:
		service, input, want = "maths.div", `{"a":1,"b":0}`, "job.failed"
	case 6:
		service, input, want = "sleep", `{"seconds":600}`, "job.canceled"
	case 7:
		more, want = `,"start_within":"1us"`, "job.expired"
	}
	body := fmt.Sprintf(`{"input":%s,"callback_url":%q,"callback_state":"%d"%s}`, input, url, n, more)
	status, answer := c.call("POST", "/v1/services/"+service+"/jobs", body, "Idempotency-Key", fmt.Sprint("chaos-", n))
	var job struct{ ID string }
	if err := json.Unmarshal(answer, &job); err != nil || status != http.StatusAccepted && status != http.StatusOK {
		c.t.Errorf("submission %d: %d %s", n, status, answer)
		return
	}
	c.mu.Lock()
	c.accepted[job.ID] = want
	c.mu.Unlock()
	c.happened.Add(1)
	if want == "job.canceled" {
		c.call("POST", "/v1/jobs/"+job.ID+"/cancel", "")
	}
}

// receiver starts receiver n and returns its URL.
func (c *callbackChaos) receiver(n int) string {
	ln, err := net.Listen("tcp", c.ip+":0")
	if err != nil {
		c.t.Fatal(err)
	}
	addr := ln.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.receive(n, w, r) })}
	done := make(chan struct{})
	c.wg.Go(func() {
		for {
			current := server
			c.wg.Go(func() { current.Serve(ln) })
			dies := make(<-chan time.Time)
			if n%8 == 5 && !c.calm.Load() {
				dies = time.After(time.Second + rand.N(time.Second))
			}
			select {
			case <-done:
				current.Close()
				return
			case <-dies:
			}
			current.Close()
			time.Sleep(rand.N(time.Second))
			for ln, err = net.Listen("tcp", addr); err != nil; ln, err = net.Listen("tcp", addr) {
				time.Sleep(10 * time.Millisecond)
			}
			server = &http.Server{Handler: current.Handler}
		}
	})
	c.t.Cleanup(func() { close(done) })
	return "http://" + addr
}

// receive writes down a callback and answers as receiver n is in the mood to.
func (c *callbackChaos) receive(n int, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var event struct {
		Type string
		Data struct{ Job struct{ ID string } }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		c.t.Errorf("a callback is no JSON: %v", err)
	}
	if err := webhook.Verify(c.key, r.Header, body, time.Now()); err != nil {
		c.t.Errorf("%s: %v", event.Data.Job.ID, err)
	}
	answer := true
	if mood := n % 8; !c.calm.Load() && mood > 0 && rand.N(3) == 0 {
		answer = c.trouble(mood, w, r)
	}
	c.mu.Lock()
	c.told[event.Data.Job.ID] = append(c.told[event.Data.Job.ID], receipt{r.Header.Get("Webhook-Id"), event.Type, sha256.Sum256(body), answer})
	c.mu.Unlock()
	c.happened.Add(1)
	if answer {
		w.WriteHeader(http.StatusNoContent)
	}
}

// trouble does not answer as a receiver should, and reports whether it will
// after all.
func (c *callbackChaos) trouble(mood int, w http.ResponseWriter, r *http.Request) bool {
	switch mood {
	case 1:
		w.WriteHeader(http.StatusInternalServerError)
	case 2: // hangs
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second):
		}
	case 3: // resets
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	case 4:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 5: // dies as a whole
		return true
	case 6: // who called dies before it hears the answer
		c.killOne()
		return true
	case 7:
		time.Sleep(rand.N(300 * time.Millisecond))
		return true
	}
	return false
}

// check compares the two ledgers.
func (c *callbackChaos) check() {
	twice := 0
	ids := make(map[string]string) // of webhooks, with the job
	c.mu.Lock()
	all := maps.Clone(c.told) // some may be told again meanwhile
	c.mu.Unlock()
	for id, want := range c.accepted {
		_, answer := c.call("GET", "/v1/jobs/"+id, "")
		var job struct {
			Status string
			Error  struct{ Code string }
		}
		if err := json.Unmarshal(answer, &job); err != nil {
			c.t.Fatal(err)
		}
		if "job."+job.Status != want && job.Error.Code != "worker_lost" {
			c.t.Errorf("%s: is %s, want %s", id, job.Status, want)
		}
		told := all[id]
		delete(all, id)
		for _, r := range told {
			if r.event != "job."+job.Status || r.id != told[0].id || r.digest != told[0].digest {
				c.t.Errorf("%s is %s and was told %+v", id, job.Status, told)
			}
			if other := ids[r.id]; other != "" && other != id {
				c.t.Errorf("%s and %s share the webhook-id %s", id, other, r.id)
			}
			ids[r.id] = id
		}
		twice += len(told) - 1
	}
	if len(all) > 0 || len(c.accepted) != *chaosJobs {
		c.t.Errorf("%d jobs were accepted of %d; told of unknown ones: %+v", len(c.accepted), *chaosJobs, all)
	}
	for _, v := range c.victims {
		log, err := os.ReadFile(v.log)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, secret := range []string{"do-not-log-me", c.key} {
			if bytes.Contains(log, []byte(secret)) {
				c.t.Errorf("the log of %v has the secret %q", v.args, secret)
			}
		}
	}
	c.t.Logf("%d outcomes, %d callbacks more than these", len(c.accepted), twice)
}
