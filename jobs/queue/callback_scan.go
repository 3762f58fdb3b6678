package queue

import (
	"context"
	"fmt"
	"time"

	"coatcheck/jobs/store"
)

const (
	// scanInterval is the longest interval between two scans. Scans find the deliveries of other
	// processes, and those to retry.
	scanInterval = 250 * time.Millisecond
	// minScanInterval is the shortest interval.
	minScanInterval = 20 * time.Millisecond
	// maxScan is the maximum number of destinations per scan. The next scan resumes after them,
	// pageInterval later.
	maxScan      = 1000
	pageInterval = 100 * time.Millisecond
)

const (
	unclaimed = `SELECT n.id FROM deliveries n WHERE n.status = 'pending' AND n.claimed_by IS NULL`
	nextDue   = `COALESCE((` + unclaimed + ` AND n.owner = %[1]s AND n.origin > %[2]s ORDER BY n.origin, n.tried, n.next_attempt_at LIMIT 1),
		(` + unclaimed + ` AND n.owner > %[1]s ORDER BY n.owner, n.origin, n.tried, n.next_attempt_at LIMIT 1))`
)

// scanDue finds the first delivery of each destination after owner $1 and origin $2.
var scanDue = `WITH RECURSIVE firsts(id) AS (SELECT ` + fmt.Sprintf(nextDue, "$1", "$2") + `
		UNION ALL SELECT ` + fmt.Sprintf(nextDue, "d.owner", "d.origin") + ` FROM firsts JOIN deliveries d ON d.id = firsts.id)
	SELECT d.owner, d.origin, d.next_attempt_at, s.owner IS NOT NULL, COALESCE(s.failures, 0), COALESCE(s.trips, 0), COALESCE(s.allowed, $3), s.held_until
	FROM firsts JOIN deliveries d ON d.id = firsts.id LEFT JOIN destinations s ON s.owner = d.owner AND s.origin = d.origin LIMIT $4`

// scan finds destinations with due deliveries. It takes one index lookup per destination, however
// many deliveries are pending.
func (d *dispatcher) scan(ctx context.Context) error {
	began := time.Now()
	rows, err := d.queue.db.Keyed.QueryContext(ctx, scanDue, d.cursor.owner, d.cursor.origin, maxPerDestination,
		maxScan)
	if err != nil {
		return fmt.Errorf("find due callbacks: %w", err)
	}
	defer rows.Close()
	var found []scanned
	for rows.Next() {
		var f scanned
		var held *store.Time
		if err := rows.Scan(&f.to.owner, &f.to.origin, &f.at, &f.state.stored, &f.state.failures, &f.state.trips,
			&f.state.allowed, &held); err != nil {
			return fmt.Errorf("find due callbacks: %w", err)
		}
		if held != nil {
			f.state.heldUntil = *held
		}
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find due callbacks: %w", err)
	}
	d.note(found, time.Since(began))
	return nil
}

// A scanned is a destination that a scan found.
type scanned struct {
	to    destination
	at    store.Time // when its first delivery is due
	state destinationState
}

// note stores the result of a scan.
func (d *dispatcher) note(found []scanned, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.scanned, d.took, d.next = now, took, now.Add(scanInterval)
	if d.cursor == (destination{}) || len(d.states) > maxDue {
		d.before, d.states = d.states, make(map[destination]destinationState, len(found))
	}
	d.cursor = destination{}
	if len(found) == maxScan {
		d.cursor, d.next = found[len(found)-1].to, now.Add(pageInterval)
	}
	for _, f := range found {
		d.states[f.to] = f.state
		switch at := later(f.at, f.state.heldUntil.Time); {
		case at.After(now):
			d.next = earlier(d.next, at.Time)
		case len(d.due) < maxDue:
			d.due[f.to] = true
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
