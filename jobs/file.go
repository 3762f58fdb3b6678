package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"coatcheck/jobs/store"
)

// A File describes a file of a job. If it is the output, callers fetch it from the job's result URL;
// a service gets one from [SaveFile] and returns it as its output.
type File struct {
	ID          string `json:"-"` // in the file store
	URL         string `json:"url,omitempty" format:"uri" doc:"Serves the file, with byte ranges."`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes"`
	SHA256      string `json:"sha256" doc:"Of the content, in hexadecimal."`
}

// A FileStore stores the files of jobs.
type FileStore interface {
	// Save stores what it reads from r as a file of the job. The file is durable when Save returns.
	// An empty content type is derived from the name.
	Save(ctx context.Context, jobID, name, contentType string, r io.Reader) (File, error)
	// Open opens a file of the job. ctx must last until the file is closed. Error: [io/fs.ErrNotExist].
	Open(ctx context.Context, jobID, fileID string) (io.ReadSeekCloser, error)
}

// ErrNoFiles means that the server has no place for files.
var ErrNoFiles = errors.New("this server stores no files: set files.dir or files.s3 in its configuration")

type fileStoreKey struct{}

// WithFileStore returns a context in which [SaveFile] stores files in s. The context of a job has
// the server's store already.
func WithFileStore(ctx context.Context, s FileStore) context.Context {
	return context.WithValue(ctx, fileStoreKey{}, s)
}

// SaveFile stores what it reads from r as a file of the current job, and returns the file. The
// content is streamed, never held in memory. A job's output can be one file, which is kept as long
// as the job's record; other files that were saved are deleted when the run ends. An empty content
// type is derived from the name. Errors: [ErrNoFiles], a limit on files, and errors of r.
func SaveFile(ctx context.Context, name, contentType string, r io.Reader) (File, error) {
	s, ok := ctx.Value(fileStoreKey{}).(FileStore)
	if !ok {
		return File{}, errors.Join(ErrNoFiles, ErrPermanent)
	}
	return s.Save(ctx, JobID(ctx), name, contentType, r)
}

// fileResult returns the result of a run whose output is a file.
func fileResult(ctx context.Context, f File) Result {
	if f.ID == "" {
		return Fail(codeInvalidOutput, "invalid output: the service returned a file that was not saved with jobs.SaveFile")
	}
	f.URL = ""
	res := encodeOutput(ctx, f)
	res.File = f.ID
	return res
}

// OutputAsFile returns the job's output as a file; false if it is none.
func (j *Job) OutputAsFile() (f File, ok bool) {
	if j.OutputFile == "" || json.Unmarshal(j.Output, &f) != nil {
		return File{}, false
	}
	f.ID = j.OutputFile
	return f, true
}

// StepFile returns the file that the output of the previous step is; false if it is none.
func (j *Job) StepFile() (f File, ok bool) {
	if j.Step < 2 {
		return File{}, false
	}
	before := j.Chain[j.Step-2]
	if before.File == "" || json.Unmarshal(before.Output, &f) != nil {
		return File{}, false
	}
	f.ID = before.File
	return f, true
}

// setFileURL sets the URL in an output that is a file.
func (j *Job) setFileURL() {
	f, ok := j.OutputAsFile()
	if !ok {
		return
	}
	f.URL = j.ResultURL
	if text, err := store.Marshal(f); err == nil {
		j.Output = text
	}
}

// setUploadURLs sets the URLs of the files of the input.
func (j *Job) setUploadURLs() {
	uploads := maps.Clone(j.Uploads) // the job may be cached
	for id, f := range uploads {
		f.URL = j.StatusURL + "/uploads/" + id
		uploads[id] = f
	}
	j.Uploads = uploads
}

// A FileLimitError means that a file is too large. It is permanent.
type FileLimitError struct {
	// Limit is the maximum size of a file in bytes.
	Limit int64
}

// Error implements error.
func (e *FileLimitError) Error() string {
	return fmt.Sprintf("the file has more than %d bytes, the limit files.max_file", e.Limit)
}

// Unwrap returns [ErrPermanent].
func (e *FileLimitError) Unwrap() error { return ErrPermanent }
