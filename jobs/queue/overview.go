package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/counts"
	"coatcheck/jobs/store"
)

// MaxCounted is the largest number of jobs that an overview counts for a status: more would make it
// slow. A count of MaxCounted means at least that many.
const MaxCounted = 10_000

// MaxSampled is the largest number of queued jobs, and of running jobs, that an overview counts by
// service.
const MaxSampled = 5000

// maxListed is the number of running and of failed jobs in an overview.
const maxListed = 10

// An Overview shows how the jobs of an owner, or of all owners, are doing.
type Overview struct {
	Counts   map[jobs.Status]int64 // at most MaxCounted each
	Running  []jobs.Job            // newest first
	Failures []jobs.Job            // failed and expired in the last hour, newest first
	Services []ServiceOverview     // with jobs that wait, run, or ended in the last hour
	// Sampled reports whether so many jobs are queued that the numbers of the services count only
	// the oldest of them.
	Sampled bool
}

// A ServiceOverview shows how the jobs of a service are doing.
type ServiceOverview struct {
	Service         string
	Queued, Running int64
	Oldest          *store.Time // when the longest-waiting queued job became due; nil if none waits
	Ended, Failed   int64       // in the last hour; Failed includes expired
	Run             Percentiles // estimated run time in the last hour: 50th, 95th and 99th percentile
	Ran             int64       // how many jobs Run is of
}

// Overview returns the overview of an owner's jobs, or of all jobs if owner is "". All of its
// queries read a limited number of rows.
func (q *Queue) Overview(ctx context.Context, owner string) (o Overview, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	hour := time.Now().Add(-time.Hour)
	if o.Counts, err = q.CountStatuses(ctx, owner, MaxCounted); err != nil {
		return o, err
	}
	running := Filter{Owner: owner, Statuses: []jobs.Status{jobs.Running}, Limit: maxListed}
	if o.Running, err = q.List(ctx, running); err != nil {
		return o, err
	}
	query, args := failuresQuery(owner, hour)
	if o.Failures, err = q.list(ctx, query, args); err != nil {
		return o, err
	}
	o.Services, o.Sampled, err = q.serviceOverviews(ctx, owner, hour)
	return o, err
}

// ServiceOverviews returns the services that have jobs of the owner, or of anyone if owner is "",
// as [Queue.Overview] does, and whether their numbers are of a sample.
func (q *Queue) ServiceOverviews(ctx context.Context, owner string) ([]ServiceOverview, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	return q.serviceOverviews(ctx, owner, time.Now().Add(-time.Hour))
}

func (q *Queue) serviceOverviews(
	ctx context.Context, owner string, since time.Time,
) (all []ServiceOverview, sampled bool, err error) {
	services := make(map[string]*ServiceOverview)
	if sampled, err = q.unendedByService(ctx, owner, services); err != nil {
		return nil, false, err
	}
	ended, err := counts.ByService(ctx, q.db, owner, since)
	if err != nil {
		return nil, false, err
	}
	for _, c := range ended {
		s := overviewOf(services, c.Name)
		s.Ended, s.Failed, s.Run, s.Ran = c.Ended, c.Failed, c.Run, c.Ran
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		all = append(all, *services[name])
	}
	return all, sampled, nil
}

// History returns how many jobs of an owner, or of all if owner is "", ended in each of the last n
// periods of a length; see [counts.History].
func (q *Queue) History(ctx context.Context, owner string, length time.Duration, n int) ([]counts.Period, error) {
	return counts.History(ctx, q.db, owner, length, n)
}

// ownedBy returns the condition for the jobs of an owner, as the beginning of a WHERE clause, and
// its arguments.
func ownedBy(owner string) (condition string, args []any) {
	if owner == "" {
		return "", nil
	}
	return "owner = $1 AND ", []any{owner}
}

// withStatus returns the end of a query for the jobs with a status, oldest first. The sort order
// makes PostgreSQL use an index on the status and the id. With status = … ORDER BY id, it would
// take any index, or the table, in which it expects to find enough of them soon.
func withStatus(status jobs.Status) string {
	return fmt.Sprintf("status BETWEEN '%s' AND '%[1]s' ORDER BY status, id", status)
}

// countQuery returns the query that counts the jobs by status.
func countQuery(owner string, most int) (query string, args []any) {
	owned, args := ownedBy(owner)
	var queries []string
	for _, status := range jobs.Statuses {
		queries = append(queries, fmt.Sprintf(`SELECT '%s', count(*) FROM (SELECT 1 FROM jobs WHERE %s%s LIMIT %d) %[1]s`,
			status, owned, withStatus(status), most))
	}
	return strings.Join(queries, " UNION ALL "), args
}

// CountStatuses counts the jobs of an owner, or of all if owner is "", by status. A count of most
// means at least that many.
func (q *Queue) CountStatuses(ctx context.Context, owner string, most int) (map[jobs.Status]int64, error) {
	query, args := countQuery(owner, most)
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	byStatus := make(map[jobs.Status]int64)
	for rows.Next() {
		var status jobs.Status
		var n int64
		if err := rows.Scan(&status, &n); err != nil {
			return nil, fmt.Errorf("count jobs: %w", err)
		}
		byStatus[status] = n
	}
	return byStatus, rows.Err()
}

// failuresQuery returns the query for the newest jobs that failed or expired since a time.
func failuresQuery(owner string, since time.Time) (query string, args []any) {
	owned, args := ownedBy(owner)
	args = append(args, store.At(since))
	return fmt.Sprintf(`SELECT %s FROM jobs WHERE %sstatus IN ('failed', 'expired') AND finished_at >= $%d
		ORDER BY finished_at DESC LIMIT %d`,
		listColumns, owned, len(args), maxListed), args
}

// waitingQuery returns the query for the number of queued and of running jobs by service.
func waitingQuery(owner string) (query string, args []any) {
	owned, args := ownedBy(owner)
	sample := func(status jobs.Status) string {
		return fmt.Sprintf(`SELECT * FROM (SELECT service, status, COALESCE(run_at, created_at) AS due FROM jobs
			WHERE %s%s LIMIT %d) %s`,
			owned, withStatus(status), MaxSampled, status)
	}
	return `SELECT service, status, count(*), min(due) FROM (` + sample(jobs.Queued) + ` UNION ALL ` +
		sample(jobs.Running) + `) sample GROUP BY service, status`, args
}

// unendedByService adds the queued and the running jobs to the overviews of their services. It
// reports whether it counted only the oldest queued jobs.
func (q *Queue) unendedByService(
	ctx context.Context, owner string, services map[string]*ServiceOverview,
) (sampled bool, err error) {
	query, args := waitingQuery(owner)
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("count waiting jobs: %w", err)
	}
	defer rows.Close()
	var queued int64
	for rows.Next() {
		var service string
		var status jobs.Status
		var n int64
		var oldest store.Time
		if err := rows.Scan(&service, &status, &n, &oldest); err != nil {
			return false, fmt.Errorf("count waiting jobs: %w", err)
		}
		s := overviewOf(services, service)
		if status == jobs.Running {
			s.Running = n
			continue
		}
		s.Queued, s.Oldest = n, &oldest
		queued += n
	}
	return queued >= MaxSampled, rows.Err()
}

// overviewOf returns the overview of a service, which it adds if it is missing.
func overviewOf(services map[string]*ServiceOverview, name string) *ServiceOverview {
	s := services[name]
	if s == nil {
		s = &ServiceOverview{Service: name}
		services[name] = s
	}
	return s
}
