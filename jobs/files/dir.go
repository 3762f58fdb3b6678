// Package files stores the files of jobs in a directory.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// Limits limit the files of a server.
type Limits struct {
	// File is the maximum size of a file in bytes. Total is that of all files; with several
	// processes, each counts the files of the others about once an hour.
	File, Total int64
}

// A Dir stores files below a directory, which several processes may share: each file as JOB/FILE.
// A file that is being written has the suffix .part.
type Dir struct {
	path   string
	limits Limits
	used   atomic.Int64 // bytes of all files
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

// filePrefix is the prefix of the ids of files that a run has saved.
const filePrefix = "file_"

func (d *Dir) save(ctx context.Context, jobID, prefix, name, contentType string, r io.Reader) (jobs.File, error) {
	id, err := keys.NewID(prefix)
	if err != nil {
		return jobs.File{}, err
	}
	if !keys.ValidID("job_", jobID) {
		return jobs.File{}, fmt.Errorf("save a file: %q is not the id of a job", jobID)
	}
	dir := filepath.Join(d.path, jobID)
	file := jobs.File{ID: id, Name: cleanName(name), ContentType: contentType}
	if file.ContentType == "" {
		file.ContentType = typeOf(file.Name)
	}
	path := filepath.Join(dir, id)
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

// saveError returns the error of a file that could not be saved, without paths of this machine:
// callers of the job see it.
func saveError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("save a file: %w", err)
}

// write writes a file to disk. If it fails, the file is removed.
func (d *Dir) write(ctx context.Context, path string, r io.Reader) (written int64, sum string, err error) {
	f, err := create(path)
	if err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	w := &limitedWriter{ctx: ctx, dir: d, to: io.MultiWriter(f, hash)}
	// The limits are checked by the writer, so that it need not know how much is to come.
	_, err = io.Copy(w, struct{ io.Reader }{r})
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

// MaxFile returns the maximum size of a file in bytes.
func (d *Dir) MaxFile() int64 { return d.limits.File }

// A FullError means that the files of all jobs would be too large.
type FullError struct {
	// Limit is the maximum size of all files in bytes.
	Limit int64
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the files of all jobs would have more than %d bytes, the limit files.max_total", e.Limit)
}

// A limitedWriter writes a file within the limits of a directory.
type limitedWriter struct {
	ctx     context.Context //nolint:containedctx // io.Copy has no context
	dir     *Dir
	to      io.Writer
	written int64
}

// Write implements [io.Writer].
func (w *limitedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if limit := w.dir.limits.File; w.written+int64(len(p)) > limit {
		return 0, &jobs.FileLimitError{Limit: limit}
	}
	if used := w.dir.used.Add(int64(len(p))); used > w.dir.limits.Total {
		w.dir.used.Add(-int64(len(p)))
		return 0, &FullError{w.dir.limits.Total}
	}
	n, err := w.to.Write(p)
	w.dir.used.Add(int64(n - len(p)))
	w.written += int64(n)
	return n, err
}

// Open opens a file of a job. Error: [fs.ErrNotExist], also if d is nil.
func (d *Dir) Open(jobID, fileID string) (*os.File, error) {
	if d == nil {
		return nil, fmt.Errorf("open a file: this process has no files.dir: %w", fs.ErrNotExist)
	}
	if !keys.ValidID("job_", jobID) || !validFileID(fileID) {
		return nil, fmt.Errorf("open a file: %w", fs.ErrNotExist)
	}
	f, err := os.Open(filepath.Join(d.path, jobID, fileID)) //nolint:gosec // both ids are valid
	if err != nil {
		return nil, fmt.Errorf("open a file: %w", err)
	}
	return f, nil
}

func validFileID(id string) bool {
	return keys.ValidID(filePrefix, id) || keys.ValidID(jobs.UploadPrefix, id)
}

// maxName is the maximum length of a file's name in bytes.
const maxName = 200

// cleanName returns the last element of a path, without characters that a header or a file system
// can't have.
func cleanName(name string) string {
	name = filepath.Base(filepath.ToSlash(strings.ReplaceAll(name, `\`, "/")))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '/' {
			return '_'
		}
		return r
	}, name)
	if name == "." || name == "" || name == ".." {
		return "file"
	}
	for len(name) > maxName {
		runes := []rune(name)
		name = string(runes[1:]) // keeps the extension
	}
	return name
}

// typeOf returns the media type for a file name.
func typeOf(name string) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
