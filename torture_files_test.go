//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
)

// A server that takes and returns files is killed again and again. No job that was accepted lacks a
// file, every file is whole, and what no job needs is deleted.
func TestTortureFiles(t *testing.T) {
	t.Parallel()
	duration := tortureTime(t)
	dir := t.TempDir()
	tmp, config := filepath.Join(dir, "tmp"), filepath.Join(dir, "files.yaml")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(`log: {format: json, level: warn}
commands:
  copy:
    run: [sh, -c, 'sleep 0.0$2; cp "$1" "$3"', sh, "{{input.file}}", "{{input.ms}}", "{{output}}"]
    output: {file: out.bin}
    input: {required: [file, ms], properties: {file: {type: string, format: binary}, ms: {type: integer, minimum: 10, maximum: 99}}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := jobstest.FreeAddr(t)
	env := []string{"CONFIG_FILENAME=" + config, "DATA_DIR=" + filepath.Join(dir, "data"), "ADDR=" + addr, "TMPDIR=" + tmp}
	c := &fileClients{ledger: newLedger(t), server: "http://" + addr}
	killer := &chaos{ledger: c.ledger, victims: []*victim{newVictim(t, dir, "serve", env, "serve")}}
	v := killer.victims[0]
	v.start()
	killer.heal([]string{c.server})
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	last, stop := context.WithTimeout(t.Context(), duration+2*time.Minute)
	defer stop()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				c.submit(last)
			}
		})
	}
	kills := 0
	for pause(ctx, between(100*time.Millisecond, time.Second)); ctx.Err() == nil; pause(ctx, between(100*time.Millisecond, time.Second)) {
		v.end(syscall.SIGKILL)
		v.start()
		kills++
	}
	killer.heal([]string{c.server})
	clients.Wait()
	if last.Err() != nil {
		t.Fatal("a submission was not accepted within two minutes")
	}
	t.Logf("%d kills, %d jobs", kills, len(c.jobs))
	c.check(last, t)
	if left, err := filepath.Glob(filepath.Join(tmp, "coatcheck-work-*")); err != nil || len(left) > 0 {
		t.Errorf("working directories are left: %v, %v", left, err)
	}
	v.end(syscall.SIGTERM)
	files := filepath.Join(dir, "data", "files")
	ageOthers(t, files, c.jobs)
	v.start()
	jobstest.Until(t, "sweep", func() bool { return slices.Equal(filesOf(t, files), c.wanted()) })
}

// fileClients send files and remember which jobs got which.
type fileClients struct {
	*ledger
	server string

	mutex  sync.Mutex        // guards jobs
	jobs   map[string]string // SHA-256 of the file, by job
	failed map[string]bool   // jobs that have no output
}

// submit sends a file, again and again with its key until it is accepted.
func (c *fileClients) submit(ctx context.Context) {
	content := make([]byte, rand.N(300<<10))
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	sum := sha256.Sum256(content)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "in.bin")
	if err == nil {
		_, err = part.Write(content)
	}
	if err != nil || form.WriteField("input.ms", strconv.Itoa(10+rand.N(90))) != nil || form.Close() != nil {
		c.odd("form: %v", err)
		return
	}
	key := strconv.FormatUint(rand.Uint64(), 16)
	for ctx.Err() == nil {
		var job jobs.Job
		status, err := c.call(ctx, http.MethodPost, "/v1/services/copy/jobs", body.Bytes(), &job, form.FormDataContentType(), key)
		switch {
		case err != nil || status >= 500:
			pause(ctx, 50*time.Millisecond)
			continue
		case status >= 300:
			c.odd("submit: %d", status)
		default:
			c.mutex.Lock()
			defer c.mutex.Unlock()
			if c.jobs == nil {
				c.jobs, c.failed = make(map[string]string), make(map[string]bool)
			}
			c.jobs[job.ID] = hex.EncodeToString(sum[:])
		}
		return
	}
}

// call sends a request and decodes the response.
func (c *fileClients) call(ctx context.Context, method, path string, body []byte, v any, contentType, key string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", contentType)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		return resp.StatusCode, err
	}
	if raw, ok := v.(*[]byte); ok {
		*raw = text
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(text, v)
}

// check waits for all jobs and compares their files with what was sent.
func (c *fileClients) check(ctx context.Context, t *testing.T) {
	for id, sum := range c.jobs {
		var job jobs.Job
		for !job.Done && ctx.Err() == nil {
			if status, err := c.call(ctx, http.MethodGet, "/v1/jobs/"+id+"?wait=30", nil, &job, "", ""); err != nil || status != http.StatusOK {
				t.Fatalf("job %s: %d %v", id, status, err)
			}
		}
		for _, upload := range job.Uploads {
			if upload.SHA256 != sum {
				t.Errorf("job %s got a file with SHA-256 %s, sent was %s", id, upload.SHA256, sum)
			}
		}
		if len(job.Uploads) != 1 {
			t.Errorf("job %s has %d files", id, len(job.Uploads))
		}
		if job.Status != jobs.Succeeded {
			if job.Error == nil || job.Error.Code != jobs.CodeWorkerLost {
				t.Errorf("job %s: %s %+v", id, job.Status, job.Error)
			}
			c.failed[id] = true
			continue
		}
		var output []byte
		status, err := c.call(ctx, http.MethodGet, "/v1/jobs/"+id+"/result", nil, &output, "", "")
		if got := sha256.Sum256(output); err != nil || status != http.StatusOK || hex.EncodeToString(got[:]) != sum {
			t.Errorf("the output of job %s: %d %v, %d bytes", id, status, err, len(output))
		}
	}
}

// wanted returns how many files each job should have, sorted.
func (c *fileClients) wanted() (lines []string) {
	for id := range c.jobs {
		n := 2
		if c.failed[id] {
			n = 1
		}
		lines = append(lines, fmt.Sprint(id, " ", n))
	}
	slices.Sort(lines)
	return lines
}

// filesOf returns how many files each job has below a directory, sorted.
func filesOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "job_*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		entries, err := os.ReadDir(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(filepath.Base(path), " ", len(entries)))
	}
	slices.Sort(lines)
	return lines
}

// ageOthers makes the files of unknown jobs old enough to be deleted.
func ageOthers(t *testing.T, dir string, known map[string]string) {
	t.Helper()
	past := time.Now().Add(-2 * time.Hour)
	found, err := filepath.Glob(filepath.Join(dir, "job_*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if known[filepath.Base(path)] != "" {
			continue
		}
		inside, err := filepath.Glob(filepath.Join(path, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(inside, path) {
			if err := os.Chtimes(path, past, past); err != nil {
				t.Fatal(err)
			}
		}
	}
}
