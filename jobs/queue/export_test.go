package queue

import (
	"context"
	"time"
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
		func(owner string) (string, []any) { return endedQuery(owner, since) },
		func(owner string) (string, []any) { return periodsQuery(owner, time.Hour, since) },
	} {
		query, args := of(owner)
		queries[query] = args
	}
	return queries
}

// TallyInterval exports tallyInterval for tests.
const TallyInterval = tallyInterval
