package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/store"
)

// A Hold means that callbacks of a user to an origin, such as "https://example.com", wait.
type Hold struct {
	Owner, Origin string
	Until         store.Time
	Asked         bool // whether the receiver asked to wait; otherwise it failed
}

// maxHeld is the maximum number of holds that Holds returns.
const maxHeld = 100

// Holds returns the destinations that are on hold, those that wait longest first. owner is "" for all
// owners.
func (q *Queue) Holds(ctx context.Context, owner string) ([]Hold, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	rows, err := q.db.Read.QueryContext(ctx, `SELECT owner, origin, held_until, allowed > 0 FROM destinations
		WHERE held_until > $1 AND (owner = $2 OR $2 = '') ORDER BY held_until DESC, owner, origin LIMIT $3`,
		store.At(time.Now()), owner, maxHeld)
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	defer rows.Close()
	var holds []Hold
	for rows.Next() {
		var h Hold
		if err := rows.Scan(&h.Owner, &h.Origin, &h.Until, &h.Asked); err != nil {
			return nil, fmt.Errorf("list holds: %w", err)
		}
		holds = append(holds, h)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	return holds, nil
}
