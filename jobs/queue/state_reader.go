package queue

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"sync"

	"coatcheck/jobs/store"
)

// A state determines whether a view of a job is up to date.
type state struct {
	version, events uint64
	callback        string
}

const stateColumns = `version, events, COALESCE(callback, '')`

// state reads the state of a job. Error: [sql.ErrNoRows].
func (q *Queue) state(ctx context.Context, id string) (s state, err error) {
	if q.db.Postgres() {
		return q.states.state(ctx, id)
	}
	err = q.db.Keyed.QueryRowContext(ctx,
		`SELECT `+stateColumns+` FROM jobs WHERE id = $1`, id).Scan(&s.version, &s.events, &s.callback)
	return s, err
}

const (
	// maxStateQueries is the maximum number of concurrent queries of a [stateReader].
	maxStateQueries = 2
	// maxStateBatch is the maximum number of jobs per query.
	maxStateBatch = 256
)

// A stateReader reads the states of jobs for many callers with one query: while a query runs,
// further callers are collected for the next one. A single caller never waits for others.
type stateReader struct {
	db *sql.DB

	mu      sync.Mutex // guards waiting and queries
	waiting []*stateRequest
	queries int // number of running queries
}

// A stateRequest is the request of one caller.
type stateRequest struct {
	id    string
	state state
	err   error
	done  chan struct{} // closed when state or err is set
}

func (l *stateReader) state(ctx context.Context, id string) (state, error) {
	w := &stateRequest{id: id, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	if l.queries < maxStateQueries {
		l.queries++
		go l.serve(context.WithoutCancel(ctx)) // ends when no requests are left
	}
	l.mu.Unlock()
	select {
	case <-w.done:
		return w.state, w.err
	case <-ctx.Done():
		return state{}, ctx.Err()
	}
}

// serve answers requests until none are left.
func (l *stateReader) serve(ctx context.Context) {
	for {
		l.mu.Lock()
		n := min(len(l.waiting), maxStateBatch)
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if n == 0 {
			l.waiting = nil
			l.queries--
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		states, err := l.read(ctx, batch)
		for _, w := range batch {
			var found bool
			if w.state, found = states[w.id]; !found {
				w.err = cmp.Or(err, sql.ErrNoRows)
			}
			close(w.done)
		}
	}
}

func (l *stateReader) read(ctx context.Context, batch []*stateRequest) (map[string]state, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	ids := make([]string, len(batch))
	for i, w := range batch {
		ids[i] = w.id
	}
	rows, err := l.db.QueryContext(ctx, `SELECT id, `+stateColumns+` FROM jobs WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read job states: %w", err)
	}
	defer rows.Close()
	states := make(map[string]state, len(batch))
	for rows.Next() {
		var id string
		var s state
		if err := rows.Scan(&id, &s.version, &s.events, &s.callback); err != nil {
			return nil, fmt.Errorf("read job states: %w", err)
		}
		states[id] = s
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read job states: %w", err)
	}
	return states, nil
}
