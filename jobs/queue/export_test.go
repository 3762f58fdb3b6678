package queue

import (
	"context"
	"time"

	"coatcheck/jobs/counts"
)

// Reconcile runs a round of reconcile at once.
func (q *Queue) Reconcile(ctx context.Context) error { return q.reconcile(ctx) }

// WorkerID returns the id of this process as a worker.
func (q *Queue) WorkerID() string { return q.workerID }

// CallbackStatements are those of PostgreSQL that find deliveries, with the types of
// their parameters.
func CallbackStatements() map[string]string {
	return map[string]string{
		"text, text[], text[], bigint, bigint[], bigint":                                   claimPostgres,
		"text[], text[], bigint[], text[], bigint[], bigint[], text[], bigint[], bigint[]": outcomeUpdater.SQL(),
		"text, text, bigint, bigint":                                                       scanDue,
	}
}

// Query returns the SQL of a list.
func (f *Filter) Query() (string, []any) { return f.query() }

// Query returns the SQL of a list.
func (f *DeliveryFilter) Query() (string, []any) { return f.query() }

// DeliveryQueries are the queries for the pages of callbacks, except lists, with their arguments.
func DeliveryQueries(owner string, now time.Time) map[string][]any {
	queries := make(map[string][]any)
	for _, f := range []DeliveryFilter{{Owner: owner}, {Owner: owner, Status: failed}} {
		query, args := f.boundQuery()
		queries[query] = args
	}
	for _, status := range []string{pending, failed} {
		query, args := undeliveredQuery(owner, status, 1000)
		queries[query] = args
	}
	query, args := receiversQuery(owner, now)
	queries[query] = args
	return queries
}

// RunningQuery exports runningQuery for tests.
func RunningQuery(owner string) (string, []any) { return runningQuery(owner) }

// MemoryBatches exports memoryBatches for tests.
func (q *Queue) MemoryBatches(ctx context.Context, ids []string) ([][]string, error) {
	return q.memoryBatches(ctx, ids)
}

// OverviewQueries are the queries for an overview and its history, with their arguments.
func OverviewQueries(owner string, since time.Time) map[string][]any {
	queries := make(map[string][]any)
	for _, of := range []func(string) (string, []any){
		func(owner string) (string, []any) { return countQuery(owner, MaxCounted) }, waitingQuery,
		func(owner string) (string, []any) { return failuresQuery(owner, since) },
		func(owner string) (string, []any) { return counts.EndedQuery(owner, since) },
		func(owner string) (string, []any) { return counts.PeriodsQuery(owner, time.Hour, since) },
	} {
		query, args := of(owner)
		queries[query] = args
	}
	return queries
}

// CheckFiles runs the health check of the files.
func (q *Queue) CheckFiles(ctx context.Context) error { return q.checkFiles(ctx) }
