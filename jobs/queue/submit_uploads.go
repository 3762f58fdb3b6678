package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
)

// submitWithUploads creates a job whose input has files. A job that runs another one again gets
// copies of that one's files. If the job is not created, its files are deleted.
func (q *Queue) submitWithUploads(ctx context.Context, s jobs.Submission) (jobs.Job, bool, error) {
	if q.Files == nil {
		return jobs.Job{}, false, jobs.ErrNoFiles
	}
	if s.JobID == "" {
		var err error
		if s.JobID, err = keys.NewID("job_"); err != nil {
			return jobs.Job{}, false, err
		}
		err = q.Files.Copy(ctx, s.RetryOf, s.JobID, slices.Collect(maps.Keys(s.Uploads)))
		if errors.Is(err, fs.ErrNotExist) { // the job was deleted meanwhile
			err = jobs.ErrRemoved
		}
		if err != nil {
			q.removeFiles(ctx, s.JobID)
			return jobs.Job{}, false, fmt.Errorf("copy the files of the input: %w", err)
		}
	}
	job, replayed, err := q.submit(ctx, s)
	if replayed || refused(err) {
		q.removeFiles(ctx, s.JobID)
	}
	return job, replayed, err
}

// refused reports whether an error of a submission means that there is no job. After others, such as
// a timeout, there may be one, so that only a sweep can delete its files.
func refused(err error) bool {
	_, invalid := errors.AsType[*jobs.FieldError](err)
	return invalid || slices.ContainsFunc([]error{
		jobs.ErrUnknownService, jobs.ErrKeyReused, jobs.ErrRemoved, ErrQueueFull, ErrUserQueueFull,
	}, func(known error) bool { return errors.Is(err, known) })
}
