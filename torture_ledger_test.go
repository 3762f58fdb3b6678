//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"coatcheck/jobs"
	"coatcheck/notify"
)

// A ledger has all that clients asked for and were told.
type ledger struct {
	t testing.TB

	mu        sync.Mutex
	entries   []*entry
	byID      map[string]*entry
	callbacks map[string]callback // by webhook-id
	oddities  map[string]int
	counts    map[string]int
}

// An entry is one job that a client wants.
type entry struct {
	path      string // what it is asked for at
	key, body string
	callback  bool

	mu      sync.Mutex
	id      string // once it is accepted
	token   string
	refused bool          // it is never to be accepted
	newest  observation   // by all polls that are over
	ends    []observation // by streams
}

// An observation is what somebody was told of a job.
type observation struct {
	event  notify.ID
	status jobs.Status
}

// A callback is what a receiver was told.
type callback struct {
	job  string
	body string
	observation
}

func newLedger(t testing.TB) *ledger {
	t.Helper()
	return &ledger{t: t, byID: make(map[string]*entry), callbacks: make(map[string]callback), oddities: make(map[string]int), counts: make(map[string]int)}
}

func (l *ledger) add(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
}

// count counts what happened, for the report.
func (l *ledger) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

// odd notes what must not happen; each kind is reported once.
func (l *ledger) odd(format string, args ...any) {
	l.t.Helper()
	text := fmt.Sprintf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.oddities[format]++; l.oddities[format] <= 5 {
		l.t.Error(text)
	}
}

// accepted notes that a job was accepted under a key.
func (l *ledger) accepted(e *entry, id, token string) {
	e.mu.Lock()
	first := e.id
	if first == "" {
		e.id, e.token = id, token
	}
	e.mu.Unlock()
	switch {
	case first == "":
		l.mu.Lock()
		l.byID[id] = e
		l.counts["accepted"]++
		l.mu.Unlock()
	case first != id:
		l.odd("key %s has two jobs, %s and %s", e.key, first, id)
	}
}

// any returns an accepted entry, or nil while there is none.
func (l *ledger) any() *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return nil
	}
	// Mostly a new one.
	i := len(l.entries) - 1 - int(rand.ExpFloat64()*20)
	if i < 0 {
		i = rand.N(len(l.entries))
	}
	if e := l.entries[i]; e.accepted() {
		return e
	}
	return nil
}

func (e *entry) refuse() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused = true
}

// open reports whether the client waits for an answer.
func (e *entry) open() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.id == "" && !e.refused
}

func (e *entry) accepted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.id != ""
}

// saw notes what a poll that began when before was the newest was told. What
// was told to one is told to all who ask later.
func (l *ledger) saw(e *entry, before, now observation) {
	e.mu.Lock()
	if now.event.Compare(e.newest.event) > 0 {
		e.newest = now
	}
	e.mu.Unlock()
	switch {
	case now.event.Compare(before.event) < 0:
		l.odd("job %s went back from %v to %v", e.id, before, now)
	case now.event == before.event && now.status != before.status:
		l.odd("job %s is at once %v and %v", e.id, before, now)
	case before.status.Done() && now.status != before.status:
		l.odd("job %s ended as %v and is %v", e.id, before, now)
	}
}
