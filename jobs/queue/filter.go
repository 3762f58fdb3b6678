package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// A Filter selects jobs.
type Filter struct {
	Owner    string        // "" for all owners
	Service  string        // "" for all services
	Statuses []jobs.Status // empty for all statuses
	Tag      string        // "" for any
	// IDs selects these jobs; nil for all.
	IDs []string
	// Text selects jobs with this text in the digest of their input or in the message of their
	// error, in any case; "" for all. No index finds a text, so it selects only among the newest
	// [MaxSearched] jobs of the owner.
	Text          string
	CreatedAfter  time.Time // zero for no limit
	CreatedBefore time.Time // zero for no limit
	Before        string    // only jobs older than the one with this id
	Limit         int       // required

	notRetried bool // only jobs that have not been run again
	postgres   bool
	after      string // only jobs newer than the one with this id; set by bounded
}

// MaxSearched is the number of jobs that are searched for a text.
const MaxSearched = 10_000

// bounded returns the filter with the bounds of a search for a text.
func (q *Queue) bounded(ctx context.Context, f Filter) (Filter, error) {
	f.postgres = q.db.Postgres()
	if f.Text == "" {
		return f, nil
	}
	owned, args := ownedBy(f.Owner)
	err := q.db.Read.QueryRowContext(ctx, `SELECT id FROM jobs WHERE `+owned+`TRUE ORDER BY id DESC LIMIT 1 OFFSET `+
		strconv.Itoa(MaxSearched), args...).Scan(&f.after)
	if errors.Is(err, sql.ErrNoRows) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("find the newest jobs: %w", err)
	}
	return f, nil
}

// where returns the filter as a WHERE clause and its arguments.
func (f *Filter) where() (string, []any) {
	var c conditions
	if f.Owner != "" {
		c.and("owner = ?", f.Owner)
	}
	if f.Service != "" {
		c.and("service = ?", f.Service)
	}
	if len(f.Statuses) > 0 {
		statuses := make([]string, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = string(status)
		}
		c.in("status", statuses)
	}
	if f.Tag != "" {
		c.and("EXISTS (SELECT 1 FROM job_tags WHERE tag = ? AND job_tags.owner = jobs.owner AND job_id = jobs.id)", f.Tag)
	}
	if len(f.IDs) > 0 {
		c.in("id", f.IDs)
	}
	if f.Text != "" {
		message := "error ->> '$.message'"
		if f.postgres {
			message = "error::json ->> 'message'"
		}
		c.contains(f.Text, "digest", message)
	}
	if f.after != "" {
		c.and("id > ?", f.after)
	}
	if !f.CreatedAfter.IsZero() {
		c.and("created_at > ?", store.At(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		c.and("created_at < ?", store.At(f.CreatedBefore))
	}
	if f.Before != "" {
		c.and("id < ?", f.Before)
	}
	if f.notRetried {
		c.add("NOT EXISTS (SELECT 1 FROM jobs again WHERE again.retry_of = jobs.id AND again.retry_of <> '')")
	}
	return c.where()
}

// query returns the SELECT that lists the jobs, newest first, and its arguments.
func (f *Filter) query() (string, []any) {
	where, args := f.where()
	args = append(args, f.Limit)
	return `SELECT ` + listColumns + ` FROM jobs` + where + fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args)), args
}
