package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// A Dir stores files below a directory, which several processes may share: each file as JOB/FILE.
// A file that is being written has the suffix .part.
type Dir struct {
	path string
	quota
}

// partSuffix is the suffix of a file that is not complete yet.
const partSuffix = ".part"

// Save implements [jobs.FileStore].
func (d *Dir) Save(ctx context.Context, jobID, name, contentType string, r io.Reader) (jobs.File, error) {
	return d.save(ctx, jobID, filePrefix, name, contentType, r)
}

// SaveUpload is Save for a file of the input of a job, which may not exist yet.
func (d *Dir) SaveUpload(ctx context.Context, jobID, name, contentType string, r io.Reader) (jobs.File, error) {
	return d.save(ctx, jobID, jobs.UploadPrefix, name, contentType, r)
}

func (d *Dir) save(ctx context.Context, jobID, prefix, name, contentType string, r io.Reader) (jobs.File, error) {
	file, err := newFile(jobID, prefix, name, contentType)
	if err != nil {
		return jobs.File{}, err
	}
	dir := filepath.Join(d.path, jobID)
	path := filepath.Join(dir, file.ID)
	if file.Bytes, file.SHA256, err = d.write(ctx, path+partSuffix, r); err != nil {
		return jobs.File{}, saveError(err)
	}
	if err := os.Rename(path+partSuffix, path); err != nil {
		d.removeFile(path + partSuffix)
		return jobs.File{}, saveError(err)
	}
	if err := errors.Join(store.SyncDir(dir), store.SyncDir(d.path)); err != nil {
		d.removeFile(path)
		return jobs.File{}, saveError(err)
	}
	return file, nil
}

// saveError returns the error of a file that could not be saved, without paths of this machine.
func saveError(err error) error { return fmt.Errorf("save a file: %w", withoutPath(err)) }

// withoutPath returns an error of the file system without the path, because callers of the job see
// it.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return err
}

// write writes a file to disk. If it fails, the file is removed.
func (d *Dir) write(ctx context.Context, path string, r io.Reader) (written int64, sum string, err error) {
	f, err := create(path)
	if err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	w := &limitedWriter{ctx: ctx, quota: &d.quota, to: io.MultiWriter(f, hash)}
	err = w.readFrom(r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		d.removeFile(path)
		_ = os.Remove(filepath.Dir(path)) // fails if the job has other files
		return 0, "", err
	}
	return w.written, hex.EncodeToString(hash.Sum(nil)), nil
}

// create creates a file and its directory, which another run of the job may remove when it is empty.
func create(path string) (f *os.File, err error) {
	for range 3 {
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator chooses the directory
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return f, err
}

// Open implements [jobs.FileStore].
func (d *Dir) Open(_ context.Context, jobID, fileID string) (io.ReadSeekCloser, error) {
	if !keys.ValidID("job_", jobID) || !validFileID(fileID) {
		return nil, fmt.Errorf("open a file: %w", fs.ErrNotExist)
	}
	f, err := os.Open(filepath.Join(d.path, jobID, fileID)) //nolint:gosec // both ids are valid
	if err != nil {
		return nil, fmt.Errorf("open a file: %w", withoutPath(err))
	}
	return f, nil
}
