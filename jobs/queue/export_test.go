package queue

import (
	"context"
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
