// Package files stores the files of jobs, in a directory or in an S3-compatible store.
package files

import (
	"context"
	"io"

	"coatcheck/jobs"
)

// A Store stores the files of jobs.
type Store interface {
	jobs.FileStore
	// SaveUpload is Save for a file of the input of a job, which may not exist yet.
	SaveUpload(ctx context.Context, jobID, name, contentType string, r io.Reader) (jobs.File, error)
	// MaxFile returns the maximum size of a file in bytes.
	MaxFile() int64
	// Used returns the size of all files and its limit, in bytes.
	Used() (bytes, limit int64)
	// Check returns an error if files can't be stored and read.
	Check(ctx context.Context) error
	// Copy copies files of a job to another job, under the same ids.
	Copy(ctx context.Context, fromJob, toJob string, fileIDs []string) error
	// Delete deletes a file of a job.
	Delete(ctx context.Context, jobID, fileID string) error
	// Remove deletes all files of a job.
	Remove(ctx context.Context, jobID string) error
	// Sweep deletes the files that no job needs: of ended jobs all but their input and output, and
	// of jobs that do not exist all that are older than an hour, because an upload precedes its
	// job. They are left when a process dies. states returns the jobs that exist.
	Sweep(ctx context.Context, states func(context.Context, []string) (map[string]State, error)) error
	// Share returns what another process on this machine needs to use the store.
	Share() *Share
}

// A Share is what another process needs to use a store that is open already. It contains secrets.
type Share struct {
	Path   string    `json:"path,omitempty"` // of a directory
	S3     *S3Config `json:"s3,omitempty"`
	Limits Limits    `json:"limits"`
	Used   int64     `json:"used"` // bytes of all files
}

// Share implements [Store].
func (d *Dir) Share() *Share { return &Share{Path: d.path, Limits: d.limits, Used: d.used.Load()} }

// Open returns the store; nil if s is nil.
func (s *Share) Open() (Store, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.S3 != nil:
		store, err := newS3(*s.S3, s.Limits)
		if err != nil {
			return nil, err
		}
		store.used.Store(s.Used)
		return store, nil
	}
	d := &Dir{path: s.Path, quota: quota{limits: s.Limits}}
	d.used.Store(s.Used)
	return d, nil
}
