package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// contains returns the condition that one of the expressions contains the text in any case, and the
// arguments with those of the condition. SQLite lowers ASCII only, so the text is also looked for as
// it is, in lower and in upper case.
func contains(args []any, text string, expressions ...string) (condition string, all []any) {
	var conditions []string
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	add := func(text, format string) {
		args = append(args, "%"+escape.Replace(text)+"%")
		for _, e := range expressions {
			conditions = append(conditions, fmt.Sprintf(format+` LIKE $%d ESCAPE '\'`, e, len(args)))
		}
	}
	add(text, "%s")
	add(strings.ToUpper(text), "%s")
	add(strings.ToLower(text), "lower(%s)")
	return "(" + strings.Join(conditions, " OR ") + ")", args
}

// where returns the filter as a WHERE clause and its arguments.
func (f *Filter) where() (string, []any) {
	var where []string
	var args []any
	and := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if f.Owner != "" {
		and("owner = ?", f.Owner)
	}
	if f.Service != "" {
		and("service = ?", f.Service)
	}
	if len(f.Statuses) > 0 {
		var marks []string
		for _, status := range f.Statuses {
			args = append(args, string(status))
			marks = append(marks, fmt.Sprintf("$%d", len(args)))
		}
		where = append(where, "status IN ("+strings.Join(marks, ", ")+")")
	}
	if f.Tag != "" {
		and("EXISTS (SELECT 1 FROM job_tags WHERE tag = ? AND job_tags.owner = jobs.owner AND job_id = jobs.id)", f.Tag)
	}
	if len(f.IDs) > 0 {
		var marks []string
		for _, id := range f.IDs {
			args = append(args, id)
			marks = append(marks, fmt.Sprintf("$%d", len(args)))
		}
		where = append(where, "id IN ("+strings.Join(marks, ", ")+")")
	}
	if f.Text != "" {
		message := "error ->> '$.message'"
		if f.postgres {
			message = "error::json ->> 'message'"
		}
		var condition string
		condition, args = contains(args, f.Text, "digest", message)
		where = append(where, condition)
	}
	if f.after != "" {
		and("id > ?", f.after)
	}
	if !f.CreatedAfter.IsZero() {
		and("created_at > ?", store.At(f.CreatedAfter))
	}
	if !f.CreatedBefore.IsZero() {
		and("created_at < ?", store.At(f.CreatedBefore))
	}
	if f.Before != "" {
		and("id < ?", f.Before)
	}
	if f.notRetried {
		where = append(where,
			"NOT EXISTS (SELECT 1 FROM jobs again WHERE again.retry_of = jobs.id AND again.retry_of <> '')")
	}
	if len(where) == 0 {
		return "", nil
	}
	return ` WHERE ` + strings.Join(where, ` AND `), args
}

// query returns the SELECT that lists the jobs, newest first, and its arguments.
func (f *Filter) query() (string, []any) {
	where, args := f.where()
	args = append(args, f.Limit)
	return `SELECT ` + listColumns + ` FROM jobs` + where + fmt.Sprintf(` ORDER BY id DESC LIMIT $%d`, len(args)), args
}
