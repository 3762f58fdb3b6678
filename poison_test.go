//go:build unix

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

type poisonInput struct {
	Kind string `json:"kind" enum:"exit,goroutine,stack,map"`
}

// poison kills its process after a moment.
func poison(_ context.Context, in poisonInput) (int, error) {
	time.Sleep(300 * time.Millisecond)
	switch in.Kind {
	case "exit":
		os.Exit(3)
	case "goroutine":
		go func() { panic("as asked") }()
	case "stack":
		debug.SetMaxStack(1 << 20)
		var overflow func(int) int
		overflow = func(n int) int { return overflow(n+1) + n }
		return overflow(0), nil
	case "map":
		shared := make(map[int]int)
		for range 8 {
			go func() {
				for n := 0; ; n++ {
					shared[n%100] = n
				}
			}()
		}
	}
	time.Sleep(10 * time.Second)
	return 0, nil
}

// A job that kills its process ends as that, however often it comes; jobs that
// run beside it do not, and use up no attempt.
func TestPoisonEmbedded(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), jobstest.FreeAddr(t)
	env := []string{"CONFIG_FILENAME=" + tortureConfig(t, dir), "TORTURE_EFFECTS=" + dir, "DATA_DIR=" + filepath.Join(dir, "data"), "ADDR=" + addr}
	testPoison(t, addr, newVictim(t, dir, "serve", env, "serve", "--concurrency", "12"))
}

func TestPoisonScaledOut(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), jobstest.FreeAddr(t)
	database := jobstest.PostgresURL(t)
	env := []string{
		"CONFIG_FILENAME=" + tortureConfig(t, dir), "TORTURE_EFFECTS=" + dir, "DATABASE_URL=" + database, "REDIS_URL=" + jobstest.RedisURL(t),
		"REDIS_PREFIX=" + filepath.Base(database), "SECRET_KEY=" + rand.Text(),
	}
	server := newVictim(t, dir, "serve", env, "serve", "--no-worker", "--addr", addr)
	testPoison(t, addr, server, newVictim(t, dir, "worker1", env, "worker", "--concurrency", "6"), newVictim(t, dir, "worker2", env, "worker", "--concurrency", "6"))
}

func testPoison(t *testing.T, addr string, victims ...*victim) {
	t.Cleanup(func() {
		for _, v := range victims {
			v.end(syscall.SIGTERM)
			if t.Failed() {
				log, err := os.ReadFile(v.log)
				t.Logf("%s: %s %v", v.log, log[max(0, len(log)-10_000):], err)
			}
		}
	})
	alive := func() {
		for _, v := range victims {
			v.lives()
		}
	}
	call := func(method, path, body string, answer any) bool {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode < 300 && json.NewDecoder(resp.Body).Decode(answer) == nil
	}
	submit := func(service, input string) (id string) {
		t.Helper()
		var job jobs.Job
		jobstest.Until(t, "submission of "+service, func() bool {
			alive()
			return call("POST", "/v1/services/"+service+"/jobs", `{"input": `+input+`}`, &job)
		})
		return job.ID
	}
	innocent, guilty := make(map[string]bool), make(map[string]bool)
	for _, kind := range []string{"exit", "goroutine", "stack", "map", "exit"} {
		for range 2 {
			innocent[submit("torture", `{"ms": 3000, "mode": "ok"}`)] = true
		}
		guilty[submit("poison", fmt.Sprintf(`{"kind": %q}`, kind))] = true
	}
	for deadline := time.Now().Add(2 * time.Minute); len(innocent)+len(guilty) > 0; time.Sleep(50 * time.Millisecond) {
		alive()
		if time.Now().After(deadline) {
			t.Fatalf("not ended: %v %v", innocent, guilty)
		}
		var list struct{ Data []jobs.Job }
		if !call("GET", "/v1/jobs?limit=100", "", &list) {
			continue
		}
		for _, job := range list.Data {
			switch {
			case !job.Done:
			case innocent[job.ID]:
				delete(innocent, job.ID)
				if job.Status != jobs.Succeeded || job.Attempt != 1 {
					t.Errorf("a job beside the poison: %s after attempt %d, %+v", job.Status, job.Attempt, job.Error)
				}
			case guilty[job.ID]:
				delete(guilty, job.ID)
				if job.Status != jobs.Failed || job.Error == nil || job.Error.Code != "worker_lost" {
					t.Errorf("poison: %s, %+v", job.Status, job.Error)
				}
			}
		}
	}
}
