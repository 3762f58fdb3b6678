package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"coatcheck/jobs/keys"
)

// Delete implements [Store].
func (s *S3) Delete(ctx context.Context, jobID, fileID string) error {
	key, ok := s.key(jobID, fileID)
	if !ok {
		return nil
	}
	info, err := s.stat(ctx, "delete a file", key) // for its size
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.deleteObject(ctx, key, info.Size)
}

// Remove implements [Store].
func (s *S3) Remove(ctx context.Context, jobID string) error {
	if !keys.ValidID("job_", jobID) {
		return nil
	}
	for object, err := range s.list(ctx, jobID+"/") {
		if err == nil {
			err = s.deleteObject(ctx, object.Key, object.Size)
		}
		if err != nil {
			return fmt.Errorf("delete the files of a job: %w", err)
		}
	}
	return nil
}

func (s *S3) deleteObject(ctx context.Context, key string, size int64) error {
	err := s.call(ctx, "delete a file", func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.config.Bucket, key, minio.RemoveObjectOptions{})
	})
	if err == nil {
		s.used.Add(-size)
	}
	return err
}

// unfinishedAge is how long an upload to the store may last before a sweep aborts it.
const unfinishedAge = 24 * time.Hour

// A sweptJob is a job with its objects.
type sweptJob struct {
	id      string
	objects []minio.ObjectInfo
}

// Sweep implements [Store].
func (s *S3) Sweep(ctx context.Context, states func(context.Context, []string) (map[string]State, error)) error {
	found, err := s.readOwner(ctx)
	if err != nil {
		return storeError(ctx, "sweep files", err)
	}
	if err := s.checkOwner(found, s.owner); err != nil { // another server may have taken the prefix
		return err
	}
	busy, err := s.sweepUnfinished(ctx)
	if err != nil {
		return err
	}
	var used int64
	var batch []sweptJob
	sweep := func() error {
		kept, err := s.sweepJobs(ctx, batch, busy, states)
		used, batch = used+kept, nil
		return err
	}
	for object, err := range s.list(ctx, "") {
		if err != nil {
			return err
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(object.Key, s.config.Prefix), "/")
		if len(batch) == 0 || batch[len(batch)-1].id != id {
			if len(batch) == sweepBatch {
				if err := sweep(); err != nil {
					return err
				}
			}
			batch = append(batch, sweptJob{id: id})
		}
		last := &batch[len(batch)-1]
		last.objects = append(last.objects, object)
	}
	if err := sweep(); err != nil {
		return err
	}
	s.used.Store(used)
	return nil
}

// sweepJobs deletes the files that jobs do not need, and returns the bytes of the others.
func (s *S3) sweepJobs(
	ctx context.Context, batch []sweptJob, busy map[string]bool,
	states func(context.Context, []string) (map[string]State, error),
) (kept int64, err error) {
	var ids []string
	for _, job := range batch {
		ids = append(ids, job.id)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	found, err := states(ctx, ids)
	if err != nil {
		return 0, err
	}
	for _, job := range batch {
		state, exists := found[job.id]
		orphan := !exists && !busy[job.id] && keys.ValidID("job_", job.id) &&
			job.changed().Before(time.Now().Add(-uploadGrace))
		for _, object := range job.objects {
			name := object.Key[strings.LastIndexByte(object.Key, '/')+1:]
			if !orphan && (!exists || !state.Done || state.needs(name)) {
				kept += object.Size
			} else if err := s.deleteObject(ctx, object.Key, object.Size); err != nil {
				return 0, err
			}
		}
	}
	return kept, nil
}

// changed returns when a file of the job was written last.
func (j *sweptJob) changed() (last time.Time) {
	for _, object := range j.objects {
		if object.LastModified.After(last) {
			last = object.LastModified
		}
	}
	return last
}

// sweepUnfinished aborts the uploads to the store that are so old that their process must be dead, and
// returns the jobs that have others.
func (s *S3) sweepUnfinished(ctx context.Context) (busy map[string]bool, err error) {
	busy = make(map[string]bool)
	for page := (minio.ListMultipartUploadsResult{IsTruncated: true}); page.IsTruncated; {
		err := s.call(ctx, "list unfinished uploads", func(ctx context.Context) (err error) {
			page, err = s.core.ListMultipartUploads(
				ctx, s.config.Bucket, s.config.Prefix, page.NextKeyMarker, page.NextUploadIDMarker, "", 1000)
			if response, ok := errors.AsType[minio.ErrorResponse](err); ok && response.StatusCode == http.StatusNotImplemented {
				err = nil // the store aborts them itself
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // some stores have no list if there are none
			return nil, err
		}
		for _, upload := range page.Uploads {
			if upload.Initiated.After(time.Now().Add(-unfinishedAge)) {
				id, _, _ := strings.Cut(strings.TrimPrefix(upload.Key, s.config.Prefix), "/")
				busy[id] = true
				continue
			}
			err := s.call(ctx, "abort an upload", func(ctx context.Context) error {
				return s.core.AbortMultipartUpload(ctx, s.config.Bucket, upload.Key, upload.UploadID)
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	return busy, nil
}
