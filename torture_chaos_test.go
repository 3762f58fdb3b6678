//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
)

// A victim is a process of the real program that is killed and frozen.
type victim struct {
	t    testing.TB
	args []string
	env  []string
	log  string // file
	// Between it and its servers.
	postgres, redis *jobstest.Proxy

	mu  sync.Mutex
	cmd *exec.Cmd
}

// start starts the process.
func (v *victim) start() {
	v.mu.Lock()
	defer v.mu.Unlock()
	log, err := os.OpenFile(v.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		v.t.Error(err)
		return
	}
	defer log.Close()
	v.cmd = exec.Command("torture", v.args...)
	v.cmd.Env = append(os.Environ(), v.env...)
	v.cmd.Stdout, v.cmd.Stderr = log, log
	if err := v.cmd.Start(); err != nil {
		v.t.Error(err)
	}
}

// end ends the process with a signal and waits for it.
func (v *victim) end(sig syscall.Signal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd == nil {
		return
	}
	v.cmd.Process.Signal(sig)
	timer := time.AfterFunc(60*time.Second, func() {
		v.t.Errorf("%v did not end after %v", v.args, sig)
		v.cmd.Process.Kill()
	})
	v.cmd.Wait()
	timer.Stop()
	v.cmd = nil
}

func (v *victim) signal(sig syscall.Signal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd != nil {
		v.cmd.Process.Signal(sig)
	}
}

// lives makes sure that the process runs: one that could not start because
// its database was away has ended.
func (v *victim) lives() {
	v.mu.Lock()
	dead := v.cmd == nil
	if !dead {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(v.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
		dead = err != nil || pid != 0
		if dead {
			v.cmd = nil
		}
	}
	v.mu.Unlock()
	if dead {
		v.start()
	}
}

// chaos is what is done to processes and servers.
type chaos struct {
	*ledger
	victims         []*victim
	postgres, redis *jobstest.Server
}

// hurt kills and freezes processes until ctx is done.
func (c *chaos) hurt(ctx context.Context) {
	for pause(ctx, between(500*time.Millisecond, 3*time.Second)); ctx.Err() == nil; pause(ctx, between(500*time.Millisecond, 3*time.Second)) {
		v := c.victims[rand.N(len(c.victims))]
		switch rand.N(5) {
		case 0, 1:
			c.count("SIGKILL")
			v.end(syscall.SIGKILL)
			pause(ctx, between(0, 2*time.Second))
			v.start()
		case 2:
			c.count("SIGTERM")
			v.end(syscall.SIGTERM)
			v.start()
		default:
			c.count("SIGSTOP")
			v.signal(syscall.SIGSTOP)
			pause(ctx, between(time.Second, 9*time.Second))
			v.signal(syscall.SIGCONT)
		}
		v.lives()
	}
}

func between(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

// starve takes the servers and the network away until ctx is done.
func (c *chaos) starve(ctx context.Context) {
	for pause(ctx, between(time.Second, 5*time.Second)); ctx.Err() == nil; pause(ctx, between(time.Second, 5*time.Second)) {
		switch rand.N(8) {
		case 0:
			c.count("PostgreSQL stopped")
			c.postgres.Stop()
			pause(ctx, between(0, 7*time.Second))
			c.postgres.Start()
		case 1:
			c.count("PostgreSQL killed")
			c.postgres.Kill()
			c.postgres.Start()
		case 2:
			c.count("Redis killed")
			c.redis.Kill()
			pause(ctx, between(0, 4*time.Second))
			c.redis.Start()
		case 3:
			c.count("Redis frozen")
			c.redis.Freeze()
			pause(ctx, between(time.Second, 4*time.Second))
			c.redis.Thaw()
		case 4:
			c.count("Redis flushed")
			if conn, err := net.Dial("tcp", c.redis.Addr); err == nil {
				io.WriteString(conn, "FLUSHALL\r\n")
				conn.Read(make([]byte, 16))
				conn.Close()
			}
		default:
			v := c.victims[rand.N(len(c.victims))]
			proxy := []*jobstest.Proxy{v.postgres, v.postgres, v.redis}[rand.N(3)]
			fault := []jobstest.Fault{jobstest.Latency, jobstest.Reset, jobstest.HalfOpen}[rand.N(3)]
			c.count([]string{"", "network slow", "network reset", "network half open"}[fault])
			proxy.Set(fault)
			pause(ctx, between(time.Second, 8*time.Second))
			proxy.Set(jobstest.None)
		}
		for _, v := range c.victims {
			v.lives()
		}
	}
}

// cutPower makes PostgreSQL crash until ctx is done.
func (c *chaos) cutPower(ctx context.Context) {
	for pause(ctx, between(200*time.Millisecond, 2*time.Second)); ctx.Err() == nil; pause(ctx, between(200*time.Millisecond, 2*time.Second)) {
		c.count("PostgreSQL killed")
		c.postgres.Kill()
		c.postgres.Start()
		for _, v := range c.victims {
			v.lives()
		}
	}
}

// heal lets everything run again, and waits until the servers are ready.
func (c *chaos) heal(servers []string) {
	for _, v := range c.victims {
		v.signal(syscall.SIGCONT)
		v.lives()
	}
	for _, server := range servers {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			resp, err := http.Get(server + "/readyz")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == 200 {
					break
				}
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("%s is not ready a minute after all is well: %v %v", server, resp, err)
			}
			for _, v := range c.victims {
				v.lives()
			}
		}
	}
}

// newVictim returns a process, not started yet.
func newVictim(t testing.TB, dir, name string, env []string, args ...string) *victim {
	t.Helper()
	v := &victim{t: t, args: args, env: env, log: filepath.Join(dir, name+".log")}
	t.Cleanup(func() {
		v.signal(syscall.SIGCONT)
		v.end(syscall.SIGKILL)
		b, _ := os.ReadFile(v.log)
		jobstest.NoSecrets(t, string(b))
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", name, b[max(0, len(b)-4000):])
		}
	})
	return v
}

// tortureConfig writes a configuration in which nobody waits for long.
func tortureConfig(t testing.TB, dir string) string {
	t.Helper()
	schedule := "0s" + strings.Repeat(", 1s", 60)
	file := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("log: {format: json, level: warn}\ncancel_grace: 1s\nshutdown_timeout: 2s\nconcurrency: 8\ncallbacks: {schedule: [%s]}\n", schedule)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
