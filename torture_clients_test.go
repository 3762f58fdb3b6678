//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/notify"
)

// clients are those who use the servers while these are tortured.
type clients struct {
	*ledger
	servers  []string
	receiver string // of callbacks
	http     *http.Client
}

// answered is the part of a job that clients look at.
type answered struct {
	ID          string      `json:"id"`
	Token       string      `json:"token"`
	Status      jobs.Status `json:"status"`
	LastEventID string      `json:"last_event_id"`
}

func (a answered) observation() (observation, error) {
	id, err := notify.ParseID(a.LastEventID)
	return observation{id, a.Status}, err
}

// call makes a request to one of the servers. What is not ok is no answer,
// only a reason to try again.
func (c *clients) call(ctx context.Context, method, path, body string, header ...string) (status int, a answered, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.servers[rand.N(len(c.servers))]+path, strings.NewReader(body))
	if err != nil {
		c.odd("request: %v", err)
		return 0, a, false
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.count("no answer")
		return 0, a, false
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.count("no answer")
		return 0, a, false
	}
	switch code := resp.StatusCode; {
	case code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests:
		c.count(strconv.Itoa(code))
		if resp.Header.Get("Retry-After") == "" {
			c.odd("%s without Retry-After: %s", resp.Status, text)
		}
		return code, a, false
	case code >= 500:
		c.odd("%s %s: %s %s", method, path, resp.Status, text)
		return code, a, false
	case code < 300:
		if err := json.Unmarshal(text, &a); err != nil {
			c.odd("%s %s: %v in %s", method, path, err, text)
			return code, a, false
		}
	}
	return resp.StatusCode, a, true
}

// live does one thing after the other until ctx is done.
func (c *clients) live(ctx context.Context) {
	for ctx.Err() == nil {
		switch n := rand.N(100); {
		case n < 40:
			c.submit(ctx)
		case n < 50:
			c.cancel(ctx, c.any())
		case n < 58:
			c.retry(ctx, c.any())
		default:
			c.poll(ctx, c.any())
		}
		pause(ctx, time.Duration(rand.N(200))*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// submit submits a job, again and again under its key until it is accepted.
func (c *clients) submit(ctx context.Context) {
	e := &entry{path: "/v1/services/torture/jobs", key: strconv.FormatUint(rand.Uint64(), 16), callback: rand.N(3) == 0}
	mode := []string{"ok", "ok", "ok", "ok", "flaky", "fail", "panic", "deaf"}[rand.N(8)]
	ms := rand.N(1500)
	if rand.N(10) == 0 {
		ms = 4000
	}
	body := map[string]any{"input": map[string]any{"ms": ms, "mode": mode}, "max_attempts": 1 + rand.N(2), "priority": 1 + rand.N(4)}
	if e.callback {
		body["callback_url"] = c.receiver
	}
	switch rand.N(12) {
	case 0:
		body["delay"] = "2s"
	case 1:
		body["start_within"] = "1s"
	case 2:
		body["timeout"] = "1s"
	case 3:
		body["then"] = []any{map[string]any{"service": "torture", "input": map[string]any{"ms": 100, "mode": "ok"}}}
	}
	b, _ := json.Marshal(body)
	e.body = string(b)
	c.add(e)
	if rand.N(10) == 0 { // somebody else submits the same
		done := make(chan struct{})
		go func() { defer close(done); c.insist(ctx, e) }()
		defer func() { <-done }()
	}
	c.insist(ctx, e)
}

// insist submits an entry until it is accepted or ctx is done.
func (c *clients) insist(ctx context.Context, e *entry) {
	for ctx.Err() == nil {
		status, a, ok := c.call(ctx, "POST", e.path, e.body, "Idempotency-Key: "+e.key)
		if ok && status < 300 {
			c.accepted(e, a.ID, a.Token)
			return
		}
		if ok {
			e.refuse()
			if e.body != "" || status != http.StatusConflict { // a job is retried before its end
				c.odd("submit: %d for %s %s", status, e.path, e.body)
			}
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (c *clients) cancel(ctx context.Context, e *entry) {
	if e == nil {
		return
	}
	if status, _, ok := c.call(ctx, "POST", "/v1/jobs/"+e.id+"/cancel", `{"reason":"torture"}`); ok {
		c.count(fmt.Sprint("cancel ", status))
		if status != 200 && status != 202 && status != 409 {
			c.odd("cancel: %d", status)
		}
	}
}

// retry runs a job again, as a new one.
func (c *clients) retry(ctx context.Context, old *entry) {
	if old == nil {
		return
	}
	e := &entry{path: "/v1/jobs/" + old.id + "/retry", key: strconv.FormatUint(rand.Uint64(), 16), callback: old.callback}
	c.add(e)
	c.insist(ctx, e)
}

// poll asks for a job and returns whether it has ended.
func (c *clients) poll(ctx context.Context, e *entry) (done bool) {
	if e == nil {
		return false
	}
	e.mu.Lock()
	before := e.newest
	e.mu.Unlock()
	status, a, ok := c.call(ctx, "GET", "/v1/jobs/"+e.token, "")
	if !ok {
		return false
	}
	c.count("polls")
	now, err := a.observation()
	if status != 200 || err != nil {
		c.odd("poll of %s: %d, %v", e.id, status, err)
		return false
	}
	c.saw(e, before, now)
	return now.status.Done()
}

// watch watches one job after the other, each to its end.
func (c *clients) watch(ctx, last context.Context) {
	for ctx.Err() == nil {
		e := c.any()
		if e == nil {
			pause(ctx, 50*time.Millisecond)
			continue
		}
		var at notify.ID
		for ended := false; !ended && last.Err() == nil; {
			ended = c.stream(last, e, &at)
			pause(last, 100*time.Millisecond)
		}
	}
}

// stream watches a job over one connection, from an event on, and returns
// whether it saw its end.
func (c *clients) stream(ctx context.Context, e *entry, at *notify.ID) (ended bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(20*time.Second, cancel) // pings come more often
	defer silent.Stop()
	req, err := http.NewRequestWithContext(ctx, "GET", c.servers[rand.N(len(c.servers))]+"/v1/jobs/"+e.token+"/events", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Accept", "text/event-stream")
	if *at != (notify.ID{}) {
		req.Header.Set("Last-Event-ID", at.String())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return true // it ended at the event that we have
	}
	if resp.StatusCode != 200 {
		if resp.StatusCode != http.StatusServiceUnavailable {
			c.odd("stream: %s", resp.Status)
		}
		return false
	}
	var name, data, id string
	for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
		silent.Reset(20 * time.Second)
		switch field, value, _ := strings.Cut(scanner.Text(), ": "); field {
		case "event":
			name = value
		case "data":
			data = value
		case "id":
			id = value
		case "":
			if c.event(e, at, name, data, id) {
				return true
			}
			name, data, id = "", "", ""
		}
	}
	return false
}

// event takes one event of a stream and returns whether it is the last.
func (c *clients) event(e *entry, at *notify.ID, name, data, id string) (last bool) {
	if id == "" {
		return false // a ping
	}
	c.count("events")
	now, err := notify.ParseID(id)
	if err != nil {
		c.odd("event id %s of %s", id, e.id)
		return false
	}
	if order := now.Compare(*at); order < 0 || order == 0 && name != "snapshot" && name != "end" {
		c.odd("stream of %s went from %s to %s, %s", e.id, at, id, name)
	}
	*at = now
	if name != "end" {
		return false
	}
	var body struct {
		Job answered `json:"job"`
	}
	if err := json.Unmarshal([]byte(data), &body); err != nil {
		c.odd("end of %s: %v in %s", e.id, err, data)
		return true
	}
	seen, err := body.Job.observation()
	if err != nil {
		c.odd("end of %s: %v", e.id, err)
	}
	e.mu.Lock()
	e.ends = append(e.ends, seen)
	e.mu.Unlock()
	return true
}

// ServeHTTP receives callbacks, and does not always like them.
func (c *clients) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if rand.N(20) == 0 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	var got struct {
		Data struct {
			Job answered `json:"job"`
		} `json:"data"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&got); err != nil {
		c.odd("callback: %v in %s", err, body)
		return
	}
	seen, err := got.Data.Job.observation()
	if err != nil {
		c.odd("callback: %v in %s", err, body)
	}
	id := r.Header.Get("Webhook-Id")
	c.mu.Lock()
	before, again := c.callbacks[id]
	c.callbacks[id] = callback{got.Data.Job.ID, string(body), seen}
	c.mu.Unlock()
	if again && before.body != string(body) {
		c.odd("callback %s changed from %s to %s", id, before.body, body)
	}
	w.WriteHeader(http.StatusNoContent)
}
