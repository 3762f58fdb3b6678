package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// MaxUploads is how many files the input of a job may have.
const MaxUploads = 20

// UploadPrefix is the prefix of the ids of files in the input of a job.
const UploadPrefix = "upload_"

// An InputFile is a file of the input of a job, open for reading. Its URL is empty.
type InputFile struct {
	File
	io.ReadCloser
}

// OpenFile opens a file of the input of the current job. In the input, a file is a string: declare
// its field as string with the tag format:"binary", and pass its value as ref. A caller uploads the
// file with the submission (multipart/form-data), or names its URL, from which it was downloaded
// before the service was called. The content is streamed from the server's files,
// while ctx lasts, and is the same in each attempt. Errors: [ErrNoFiles], and a permanent one for a ref
// that is no file of the job.
func OpenFile(ctx context.Context, ref string) (*InputFile, error) {
	s, ok := ctx.Value(fileStoreKey{}).(FileStore)
	if !ok {
		return nil, errors.Join(ErrNoFiles, ErrPermanent)
	}
	run := runOf(ctx)
	f, ok := run.Uploads[ref]
	if !ok {
		return nil, fmt.Errorf("%.100q is no file of the job's input: %w", ref, ErrPermanent)
	}
	content, err := s.Open(ctx, run.JobID, ref)
	if err != nil {
		return nil, err
	}
	f.ID = ref
	return &InputFile{f, content}, nil
}
