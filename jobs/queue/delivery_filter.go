package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// A DeliveryFilter selects deliveries.
type DeliveryFilter struct {
	Owner  string // "" for all owners
	JobID  string // "" for all jobs
	Status string // "" for all statuses
	// IDs selects these deliveries; nil for all.
	IDs []string
	// Event, Origin and Text select deliveries of an event, to an origin such as
	// "https://example.com", and with this text in their URL, in any case; "" for all. No index
	// finds these, so without JobID or IDs they select only among the newest [MaxSearched]
	// deliveries that match Owner, Status and CreatedAfter.
	Event, Origin, Text string
	CreatedAfter        time.Time // zero for no limit
	CreatedBefore       time.Time // zero for no limit
	Before              string    // only deliveries older than the one with this id
	Limit               int       // required
	// WithoutAttempts omits the attempts from the result of [Queue.Deliveries].
	WithoutAttempts bool

	after string // only deliveries newer than the one with this id; set by boundedDeliveries
}

// idTolerance is by how much the time in the id of a delivery may differ from its created_at.
const idTolerance = time.Minute

// boundedDeliveries returns the filter with the bounds of a search without an index.
func (q *Queue) boundedDeliveries(ctx context.Context, f DeliveryFilter) (DeliveryFilter, error) {
	if f.Event == "" && f.Origin == "" && f.Text == "" || f.JobID != "" || len(f.IDs) > 0 {
		return f, nil
	}
	query, args := f.boundQuery()
	err := q.db.Read.QueryRowContext(ctx, query, args...).Scan(&f.after)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return f, fmt.Errorf("find the newest deliveries: %w", err)
	}
	return f, nil
}

// boundQuery returns the SELECT for the newest delivery that is not searched, and its arguments.
func (f *DeliveryFilter) boundQuery() (string, []any) {
	indexed := DeliveryFilter{Owner: f.Owner, Status: f.Status, CreatedAfter: f.CreatedAfter}
	where, args := indexed.where()
	return `SELECT id FROM deliveries` + where + ` ORDER BY id DESC LIMIT 1 OFFSET ` + strconv.Itoa(MaxSearched), args
}

// where returns the filter as a WHERE clause and its arguments.
func (f *DeliveryFilter) where() (string, []any) {
	var c conditions
	if f.Owner != "" {
		c.and("owner = ?", f.Owner)
	}
	if f.JobID != "" {
		c.and("job_id = ?", f.JobID)
	}
	switch f.Status {
	case "":
	case pending, delivered, failed: // a constant, because of the indexes for one status only
		c.add("status = '" + f.Status + "'")
	default:
		c.and("status = ?", f.Status)
	}
	if len(f.IDs) > 0 {
		c.in("id", f.IDs)
	}
	if f.Event != "" {
		c.and("event = ?", f.Event)
	}
	if f.Origin != "" {
		c.and("origin IN (?, '"+testOrigin+"' || ?)", f.Origin)
	}
	if f.Text != "" {
		c.contains(f.Text, "url")
	}
	if !f.CreatedAfter.IsZero() {
		c.and("id >= ?", keys.FirstID("msg_", f.CreatedAfter.Add(-idTolerance)))
		c.and("created_at > ?", store.At(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		c.and("created_at < ?", store.At(f.CreatedBefore))
	}
	if f.after != "" {
		c.and("id > ?", f.after)
	}
	if f.Before != "" {
		c.and("id < ?", f.Before)
	}
	return c.where()
}

// query returns the SELECT that lists the deliveries, newest first, and its arguments.
func (f *DeliveryFilter) query() (string, []any) {
	where, args := f.where()
	args = append(args, f.Limit)
	return `SELECT ` + deliveryColumns + ` FROM deliveries` + where +
		fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args)), args
}

// CountUndelivered counts the pending and the failed deliveries of an owner, or of all if owner is
// "". A count of most means at least that many.
func (q *Queue) CountUndelivered(ctx context.Context, owner string, most int) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	counts := make(map[string]int64)
	for _, status := range []string{pending, failed} {
		query, args := undeliveredQuery(owner, status, most)
		var n int64
		if err := q.db.Read.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
			return nil, fmt.Errorf("count deliveries: %w", err)
		}
		counts[status] = n
	}
	return counts, nil
}

func undeliveredQuery(owner, status string, most int) (string, []any) {
	f := DeliveryFilter{Owner: owner, Status: status}
	where, args := f.where()
	return fmt.Sprintf(`SELECT count(*) FROM (SELECT 1 FROM deliveries%s LIMIT %d) found`, where, most), args
}
