package queue

import (
	"context"
	"fmt"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
)

// sweepInterval is how often files are swept that a crash has left behind.
const sweepInterval = time.Hour

// removeFilesTime is how long files of removed jobs are deleted at once. A sweep deletes the rest.
const removeFilesTime = 10 * time.Second

// sweepFiles deletes the files that no job needs, at once and every sweepInterval.
func (q *Queue) sweepFiles(ctx context.Context) {
	log := roundLog{queue: q, work: "sweep of files"}
	for {
		log.note(ctx, q.Files.Sweep(ctx, q.fileStates))
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepInterval):
		}
	}
}

// removeFiles deletes the files of removed jobs, also after ctx is done.
func (q *Queue) removeFiles(ctx context.Context, ids ...string) {
	if q.Files == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeFilesTime)
	defer cancel()
	for _, id := range ids {
		if err := q.Files.Remove(ctx, id); err != nil {
			q.logFiles(ctx, id, err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// logFiles logs that files of a job could not be deleted; the sweep will do so.
func (q *Queue) logFiles(ctx context.Context, job string, err error) {
	q.Logger.WarnContext(ctx, "files not deleted, will retry", "job", job, "err", err)
}

// fileStates returns which of the jobs exist, and which file each needs.
func (q *Queue) fileStates(ctx context.Context, ids []string) (map[string]files.State, error) {
	marks, args := placeholders(ids)
	rows, err := q.db.Read.QueryContext(ctx,
		`SELECT id, status, COALESCE(output_file, '') FROM jobs WHERE id IN (`+marks+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("find the jobs of files: %w", err)
	}
	defer rows.Close()
	states := make(map[string]files.State)
	for rows.Next() {
		var id, file string
		var status jobs.Status
		if err := rows.Scan(&id, &status, &file); err != nil {
			return nil, fmt.Errorf("find the jobs of files: %w", err)
		}
		states[id] = files.State{Done: status.Done(), Output: file}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find the jobs of files: %w", err)
	}
	return states, nil
}
