package jobs

import "context"

// Reconcile is reconcile, at once.
func (q *Queue) Reconcile(ctx context.Context) error { return q.reconcile(ctx) }

// WorkerID is the name of this process among the workers.
func (q *Queue) WorkerID() string { return q.workerID }

// Query returns the SQL of a list.
func (f *Filter) Query() (string, []any) { return f.query() }

// Portions is portions.
func (q *Queue) Portions(ctx context.Context, ids []string) ([][]string, error) {
	return q.portions(ctx, ids)
}
