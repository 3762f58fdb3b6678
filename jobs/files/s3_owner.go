package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// OpenS3 opens a store, and counts its files. The owner identifies the server: the prefix of another
// server is refused, because its files would be swept as those of unknown jobs.
func OpenS3(ctx context.Context, c S3Config, owner string, limits Limits) (*S3, error) {
	s, err := newS3(c, limits)
	if err != nil {
		return nil, err
	}
	if _, err := s.core.GetCreds(); err != nil {
		return nil, fmt.Errorf(
			"files.s3: set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the process a role in AWS: %w", err)
	}
	if err := s.claim(ctx, owner); err != nil {
		return nil, err
	}
	s.owner = owner
	return s, s.count(ctx)
}

// claim checks that the prefix has this owner. If it has none yet, the owner becomes this one.
func (s *S3) claim(ctx context.Context, owner string) error {
	found, err := s.readOwner(ctx)
	if err == nil && found == "" {
		if err = s.setOwner(ctx, owner); err == nil {
			found, err = s.readOwner(ctx) // another process may have been first
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return openError(&s.config, err)
	}
	return s.checkOwner(found, owner)
}

func (s *S3) checkOwner(found, owner string) error {
	if found == owner {
		return nil
	}
	return fmt.Errorf(
		"files.s3: the bucket %s has the files of another server below %q: choose another prefix, or, "+
			"if they were copied with their database from that server, delete the object %s",
		s.config.Bucket, s.config.Prefix, s.ownerKey())
}

func (s *S3) ownerKey() string { return s.config.Prefix + ownerFile }

// readOwner returns the owner of the prefix; "" if it has none. Errors are those of the client.
func (s *S3) readOwner(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	body, _, _, err := s.core.GetObject(ctx, s.config.Bucket, s.ownerKey(), minio.GetObjectOptions{})
	if response, ok := errors.AsType[minio.ErrorResponse](err); ok && response.Code == codeNoKey {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, 1<<10))
	return string(text), err
}

// setOwner creates the object that names the owner unless another process has created it meanwhile.
func (s *S3) setOwner(ctx context.Context, owner string) error {
	var options minio.PutObjectOptions
	options.SetMatchETagExcept("*")
	err := s.put(ctx, s.ownerKey(), []byte(owner), options)
	response, ok := errors.AsType[minio.ErrorResponse](err)
	switch {
	case ok && (response.StatusCode == http.StatusPreconditionFailed || response.StatusCode == http.StatusConflict):
		return nil // it exists
	case ok && response.StatusCode == http.StatusNotImplemented: // no conditions here
		return s.put(ctx, s.ownerKey(), []byte(owner), minio.PutObjectOptions{})
	}
	return err
}

// put writes a whole object. Errors are those of the client. The request's signature includes the
// content, which the store checks, instead of signatures of chunks, which not all stores know.
func (s *S3) put(ctx context.Context, key string, content []byte, options minio.PutObjectOptions) error {
	ctx, cancel := context.WithTimeout(ctx, 4*s.config.Timeout)
	defer cancel()
	options.DisableContentSha256 = true // of chunks
	_, err := s.core.PutObject(
		ctx, s.config.Bucket, key, bytes.NewReader(content), int64(len(content)), "", sumOf(content), options)
	return err
}

// count counts the bytes of all files.
func (s *S3) count(ctx context.Context) error {
	var used int64
	for object, err := range s.list(ctx, "") {
		if err != nil {
			return err
		}
		used += object.Size
	}
	s.used.Store(used)
	return nil
}
