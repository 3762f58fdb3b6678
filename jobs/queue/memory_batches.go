package queue

import (
	"context"
	"fmt"
)

const (
	// maxTogether limits the total size of the inputs and outputs of jobs that are changed
	// concurrently: changing a job reads its whole row.
	maxTogether = 64 << 20
	// fewTogether is how many jobs may be changed concurrently regardless of their size.
	fewTogether = 8
)

// memoryBatches splits jobs into batches that each fit into memory. It keeps their order.
func (q *Queue) memoryBatches(ctx context.Context, ids []string) ([][]string, error) {
	if len(ids) <= fewTogether {
		return [][]string{ids}, nil
	}
	marks, args := placeholders(ids)
	// Neither database reads a text to determine its length.
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, octet_length(steps) + COALESCE(octet_length(output), 0) FROM jobs WHERE id IN (`+marks+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("measure jobs: %w", err)
	}
	defer rows.Close()
	sizes := make(map[string]int64, len(ids))
	for rows.Next() {
		var id string
		var size int64
		if err := rows.Scan(&id, &size); err != nil {
			return nil, fmt.Errorf("measure jobs: %w", err)
		}
		sizes[id] = size
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("measure jobs: %w", err)
	}
	var batches [][]string
	first, sum := 0, int64(0)
	for i, id := range ids {
		if sum += sizes[id]; sum > maxTogether && i-first >= fewTogether {
			batches = append(batches, ids[first:i])
			first, sum = i, sizes[id]
		}
	}
	return append(batches, ids[first:]), nil
}
