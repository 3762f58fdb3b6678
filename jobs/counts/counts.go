// Package counts counts the jobs that have ended, in the table job_counts: statistics that outlive the
// records of the jobs.
package counts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"coatcheck/jobs/store"
)

// A Period contains the number of jobs that ended in a period.
type Period struct {
	Start                       time.Time
	Succeeded, Failed, Canceled int64 // Failed includes expired
}

// countedSpan returns the span of the counts from which periods of a length are summed.
func countedSpan(length time.Duration) time.Duration {
	if length < time.Hour {
		return time.Minute
	}
	return time.Hour
}

// countsWhere returns the condition for the counts of an owner since a time.
func countsWhere(owner string, span time.Duration, since time.Time) (condition string, args []any) {
	owned := ""
	if owner != "" {
		owned, args = "owner = $1 AND ", []any{owner}
	}
	args = append(args, span.Milliseconds(), store.At(since))
	return fmt.Sprintf("%sspan = $%d AND start_at >= $%d", owned, len(args)-1, len(args)), args
}

// PeriodsQuery returns the query for the number of jobs that ended, by span.
func PeriodsQuery(owner string, span time.Duration, since time.Time) (query string, args []any) {
	where, args := countsWhere(owner, span, since)
	return `SELECT start_at, ` + sums("succeeded", "failed + expired", "canceled") +
		` FROM job_counts WHERE ` + where + ` GROUP BY start_at`, args
}

// History returns how many jobs of an owner, or of all if owner is "", ended in each of the last n
// periods of a length, oldest first. The last period includes now. Lengths below an hour are
// possible for the last hour only. The newest seconds may be missing: see [Tally].
func History(ctx context.Context, db *store.DB, owner string, length time.Duration, n int) ([]Period, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	first := time.Now().UTC().Truncate(length).Add(-time.Duration(n-1) * length)
	periods := make([]Period, n)
	for i := range periods {
		periods[i].Start = first.Add(time.Duration(i) * length)
	}
	query, args := PeriodsQuery(owner, countedSpan(length), first)
	rows, err := db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var start store.Time
		var c Period
		if err := rows.Scan(&start, &c.Succeeded, &c.Failed, &c.Canceled); err != nil {
			return nil, fmt.Errorf("read counts: %w", err)
		}
		p := &periods[min(int(start.Sub(first)/length), n-1)] // clocks may differ
		p.Succeeded, p.Failed, p.Canceled = p.Succeeded+c.Succeeded, p.Failed+c.Failed, p.Canceled+c.Canceled
	}
	return periods, rows.Err()
}

// EndedQuery returns the query for the jobs that ended since a time, by service.
func EndedQuery(owner string, since time.Time) (query string, args []any) {
	where, args := countsWhere(owner, time.Minute, since)
	return `SELECT service, ` + sums("succeeded + failed + canceled + expired", "failed + expired", "run_time") + `, ` +
		sums(runColumns[:]...) + ` FROM job_counts WHERE ` + where + ` GROUP BY service`, args
}

// A Service has the number of jobs of a service that ended since a time.
type Service struct {
	Name          string
	Ended, Failed int64            // Failed includes expired
	Run           [3]time.Duration // estimated run time: 50th, 95th and 99th percentile
	Ran           int64            // how many jobs Run is of
}

// ByService counts the jobs of an owner, or of all if owner is "", that ended since a time, by service.
func ByService(ctx context.Context, db *store.DB, owner string, since time.Time) (services []Service, err error) {
	query, args := EndedQuery(owner, since)
	rows, err := db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read counts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Service
		var runTime store.Duration
		var runs runTimes
		dest := []any{&s.Name, &s.Ended, &s.Failed, &runTime}
		for i := range runs {
			dest = append(dest, &runs[i])
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, fmt.Errorf("read counts: %w", err)
		}
		s.Ran = runs.count()
		if s.Ran > 0 {
			for i, percent := range []int64{50, 95, 99} {
				s.Run[i] = runs.percentile(percent, time.Duration(runTime))
			}
		}
		services = append(services, s)
	}
	return services, rows.Err()
}

// sums returns the list of the sums of expressions. PostgreSQL's sums are of another type.
func sums(expressions ...string) string {
	list := make([]string, len(expressions))
	for i, e := range expressions {
		list[i] = "CAST(sum(" + e + ") AS BIGINT)"
	}
	return strings.Join(list, ", ")
}
