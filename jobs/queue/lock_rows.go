package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coatcheck/jobs"
)

// lockRows locks the rows of the changes' jobs. It uses one statement and locks in the order of
// their ids, to prevent deadlocks between processes. If all rows are cached, they need not be
// locked before they are written.
func (b *batch) lockRows(ctx context.Context, changes []*change) error {
	b.rows = make(map[string]jobs.Job, len(changes))
	var ids, others []string
	locks := false
	for _, ch := range changes {
		switch {
		case ch.lock == "":
		case ch.lockOnly:
			others, locks = append(others, ch.lock), true
		case ch.cached != nil:
			b.rows[ch.lock] = *ch.cached
			others = append(others, ch.lock)
		default:
			ids = append(ids, ch.lock)
		}
	}
	slices.Sort(ids)
	if b.q.db.Postgres() {
		if (locks || len(ids) > 0) && len(others) > 0 {
			if _, err := b.tx.ExecContext(ctx,
				`SELECT FROM jobs WHERE id = ANY($1) ORDER BY id FOR UPDATE`, append(others, ids...)); err != nil {
				return fmt.Errorf("lock jobs: %w", err)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return b.readRows(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
	}
	for _, id := range ids {
		if err := b.readRows(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1`, id); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) readRows(ctx context.Context, query string, arg any) error {
	rows, err := b.tx.QueryContext(ctx, query, arg)
	if err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		j, err := b.q.scanJob(rows)
		if err != nil {
			return fmt.Errorf("lock jobs: %w", err)
		}
		b.rows[j.ID] = j
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("lock jobs: %w", err)
	}
	return nil
}

// job returns the locked job of the current change.
func (b *batch) job(id string) (jobs.Job, error) {
	j, ok := b.rows[id]
	if !ok {
		return jobs.Job{}, refuse(jobs.ErrNotFound)
	}
	return j, nil
}
