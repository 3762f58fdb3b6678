package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"

	"coatcheck/jobs/keys"
)

// Open implements [jobs.FileStore].
func (s *S3) Open(ctx context.Context, jobID, fileID string) (io.ReadSeekCloser, error) {
	key, ok := s.key(jobID, fileID)
	if !ok {
		return nil, fmt.Errorf("open a file: %w", fs.ErrNotExist)
	}
	info, err := s.stat(ctx, "open a file", key)
	if err != nil {
		return nil, err
	}
	return &s3File{ctx: ctx, store: s, key: key, size: info.Size}, nil
}

// An s3File reads an object. It sends no request until it is read.
type s3File struct {
	ctx      context.Context //nolint:containedctx // io.Reader has no context
	store    *S3
	key      string
	size, at int64
	body     io.ReadCloser // from at; nil if there is no request
	cancel   context.CancelFunc
}

// Read implements [io.Reader]. It continues where the store has closed the connection, as stores do
// with those who read slowly.
func (f *s3File) Read(p []byte) (n int, err error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	for range tries {
		if n, err = f.read(p); n > 0 || err == nil {
			f.at += int64(n)
			return n, nil
		}
		f.stop()
		if f.ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return 0, storeError(f.ctx, "read a file", err)
}

// read reads once, within the timeout of the store.
func (f *s3File) read(p []byte) (int, error) {
	var ctx context.Context
	if f.body == nil {
		ctx, f.cancel = context.WithCancel(f.ctx)
	}
	timer := time.AfterFunc(f.store.config.Timeout, f.cancel)
	n, err := f.request(ctx, p)
	if !timer.Stop() && err != nil {
		err = context.DeadlineExceeded
	}
	if errors.Is(err, io.EOF) && n == 0 { // before the end
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// request reads from the response, which it requests first if there is none.
func (f *s3File) request(ctx context.Context, p []byte) (int, error) {
	if f.body == nil {
		var options minio.GetObjectOptions
		if f.at > 0 {
			if err := options.SetRange(f.at, 0); err != nil {
				return 0, err
			}
		}
		body, _, _, err := f.store.core.GetObject(ctx, f.store.config.Bucket, f.key, options)
		if err != nil {
			return 0, err
		}
		f.body = body
	}
	return f.body.Read(p)
}

// Seek implements [io.Seeker].
func (f *s3File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	if offset != f.at {
		f.stop()
	}
	f.at = offset
	return offset, nil
}

// Close implements [io.Closer].
func (f *s3File) Close() error {
	f.stop()
	return nil
}

// stop ends the request.
func (f *s3File) stop() {
	if f.cancel != nil {
		f.cancel()
	}
	if f.body != nil {
		f.body.Close()
	}
	f.body, f.cancel = nil, nil
}

// maxCopy is how large a copy may be that is a single request.
const maxCopy = 5 << 30

// Copy implements [Store]. The store copies the files itself.
func (s *S3) Copy(ctx context.Context, fromJob, toJob string, fileIDs []string) error {
	if !keys.ValidID("job_", fromJob) {
		return fmt.Errorf("copy files of a job: %w", fs.ErrNotExist)
	}
	for _, id := range fileIDs {
		to, ok := s.key(toJob, id)
		if !ok {
			return fmt.Errorf("copy files of a job: %q is not the id of a file", id)
		}
		if err := s.copyObject(ctx, s.config.Prefix+fromJob+"/"+id, to); err != nil {
			return err
		}
	}
	return nil
}

func (s *S3) copyObject(ctx context.Context, from, to string) error {
	info, err := s.stat(ctx, "copy a file", from)
	if err != nil {
		return err
	}
	if err := s.reserve(info.Size); err != nil {
		return err
	}
	source := minio.CopySrcOptions{Bucket: s.config.Bucket, Object: from}
	target := minio.CopyDestOptions{Bucket: s.config.Bucket, Object: to}
	err = s.transfer(ctx, "copy a file", func(ctx context.Context) (err error) {
		if info.Size > maxCopy {
			_, err = s.core.ComposeObject(ctx, target, source)
		} else {
			_, err = s.core.Client.CopyObject(ctx, target, source)
		}
		return err
	})
	if err != nil {
		s.used.Add(-info.Size)
	}
	return err
}
