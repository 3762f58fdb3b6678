package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// MaxReceivers is the maximum number of receivers that [Queue.CallbackReceivers] returns.
const MaxReceivers = 10

// receiverPeriod is the age of the oldest deliveries in the statistics of receivers.
const receiverPeriod = 24 * time.Hour

// ReceiverStats describe the deliveries of an owner to an origin, such as "https://example.com".
type ReceiverStats struct {
	Owner, Origin              string
	Delivered, Failed, Pending int64
	// Attempted reports whether there was an attempt at any of the deliveries. Code is the
	// response of the newest such delivery; nil if the receiver did not respond.
	Attempted bool
	Code      *int
	// HeldUntil is the end of the hold of the receiver; nil if there is none. Asked reports whether
	// the receiver asked for it; otherwise its failures are the reason.
	HeldUntil *store.Time
	Asked     bool
}

// CallbackReceivers returns statistics over the newest [MaxSearched] deliveries of the last day, without
// tests: receivers on hold first, then those with the most failures, up to [MaxReceivers]. It also
// returns how many receivers there are. owner is "" for all owners.
func (q *Queue) CallbackReceivers(ctx context.Context, owner string) (receivers []ReceiverStats, n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	query, args := receiversQuery(owner, time.Now())
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("read receivers: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r ReceiverStats
		if err := rows.Scan(&r.Owner, &r.Origin, &r.Delivered, &r.Failed, &r.Pending, &r.Attempted, &r.Code,
			&r.HeldUntil, &r.Asked, &n); err != nil {
			return nil, 0, fmt.Errorf("read receivers: %w", err)
		}
		receivers = append(receivers, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, 0, fmt.Errorf("read receivers: %w", err)
	}
	return receivers, n, nil
}

// receiversQuery returns the query of CallbackReceivers and its arguments. The response is a subquery,
// because a join might read all deliveries.
func receiversQuery(owner string, now time.Time) (query string, args []any) {
	owned, args := ownedBy(owner)
	since := now.Add(-receiverPeriod)
	args = append(args, keys.FirstID("msg_", since.Add(-idTolerance)), store.At(since), store.At(now))
	first := len(args) - 2
	return fmt.Sprintf(`SELECT r.owner, r.origin, r.delivered, r.failed, r.pending, r.newest IS NOT NULL,
			(SELECT d.last_status_code FROM deliveries d WHERE d.id = r.newest),
			s.held_until, COALESCE(s.allowed > 0, FALSE), count(*) OVER ()
		FROM (SELECT owner, origin, count(CASE WHEN status = 'delivered' THEN 1 END) AS delivered,
				count(CASE WHEN status = 'failed' THEN 1 END) AS failed,
				count(CASE WHEN status = 'pending' THEN 1 END) AS pending,
				max(CASE WHEN attempts > 0 THEN id END) AS newest
			FROM (SELECT id, owner, origin, status, attempts FROM deliveries
				WHERE %sid >= $%d AND created_at > $%d ORDER BY id DESC LIMIT %d) sample
			WHERE origin NOT LIKE '%s%%' GROUP BY owner, origin) r
		LEFT JOIN destinations s ON s.owner = r.owner AND s.origin = r.origin AND s.held_until > $%d
		ORDER BY s.held_until IS NULL, r.failed DESC, r.delivered + r.pending DESC, r.origin, r.owner LIMIT %d`,
		owned, first, first+1, MaxSearched, testOrigin, first+2, MaxReceivers), args
}
