package queue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"coatcheck/notify"
)

// Viewers are the event streams that are open in this process.
type Viewers interface {
	// Watched returns the ids of the jobs that have a viewer.
	Watched() []string
	// Behind reports the newest event id of a job, so that viewers that have missed events can
	// catch up.
	Behind(job string, newest notify.ID)
	// Degraded reports whether events may be getting lost.
	Degraded() bool
}

const (
	// auditInterval is how often the viewers' positions are compared with the table, so that a
	// stream ends correctly even if its last event was lost. degradedInterval replaces it while
	// events may be getting lost.
	auditInterval    = 15 * time.Second
	degradedInterval = 2 * time.Second
	auditBatch       = 500
)

// audit reports the newest event id of each watched job, as stored in the table, to the viewers.
func (q *Queue) audit(ctx context.Context) error {
	interval := auditInterval
	if q.Viewers.Degraded() {
		interval = degradedInterval
	}
	if time.Since(q.audited) < interval {
		return nil
	}
	q.audited = time.Now()
	watched := q.Viewers.Watched()
	for len(watched) > 0 {
		batch := watched[:min(auditBatch, len(watched))]
		watched = watched[len(batch):]
		if err := q.auditBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) auditBatch(ctx context.Context, ids []string) error {
	marks, args := make([]string, len(ids)), make([]any, len(ids))
	for i, id := range ids {
		marks[i], args[i] = fmt.Sprintf("$%d", i+1), id
	}
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, version, events FROM jobs WHERE id IN (`+strings.Join(marks, ", ")+`)`, args...)
	if err != nil {
		return fmt.Errorf("audit watched jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var newest notify.ID
		if err := rows.Scan(&id, &newest.Version, &newest.N); err != nil {
			return fmt.Errorf("audit watched jobs: %w", err)
		}
		q.Viewers.Behind(id, newest)
	}
	return rows.Err()
}
