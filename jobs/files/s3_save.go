package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"

	"coatcheck/jobs"
)

// Save implements [jobs.FileStore].
func (s *S3) Save(ctx context.Context, jobID, name, contentType string, r io.Reader) (jobs.File, error) {
	return s.save(ctx, jobID, filePrefix, name, contentType, r)
}

// SaveUpload implements [Store].
func (s *S3) SaveUpload(ctx context.Context, jobID, name, contentType string, r io.Reader) (jobs.File, error) {
	return s.save(ctx, jobID, jobs.UploadPrefix, name, contentType, r)
}

func (s *S3) save(ctx context.Context, jobID, prefix, name, contentType string, r io.Reader) (jobs.File, error) {
	file, err := newFile(jobID, prefix, name, contentType)
	if err != nil {
		return jobs.File{}, err
	}
	hash := sha256.New()
	object := &objectWriter{ctx: ctx, store: s, key: s.config.Prefix + jobID + "/" + file.ID}
	w := &limitedWriter{ctx: ctx, quota: &s.quota, to: io.MultiWriter(hash, object)}
	if err = w.readFrom(r); err == nil {
		err = object.complete()
	}
	if err != nil {
		object.abort()
		s.used.Add(-w.written)
		return jobs.File{}, fmt.Errorf("save a file: %w", err)
	}
	file.Bytes, file.SHA256 = w.written, hex.EncodeToString(hash.Sum(nil))
	return file, nil
}

// An objectWriter writes an object, which appears with complete. It holds one part in memory.
type objectWriter struct {
	ctx      context.Context //nolint:containedctx // io.Copy has no context
	store    *S3
	key      string
	part     []byte // not sent yet
	uploadID string // of an object with several parts
	sent     []minio.CompletePart
}

// octets is the type of all objects: what a job's file is, the database says.
var octets = minio.PutObjectOptions{ContentType: "application/octet-stream"}

// Write implements [io.Writer].
func (w *objectWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		if len(w.part) == w.store.partSize {
			if err := w.send(); err != nil {
				return written, err
			}
		}
		n := min(len(p), w.store.partSize-len(w.part))
		w.part = append(w.part, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, nil
}

// send sends a part.
func (w *objectWriter) send() error {
	s := w.store
	if w.uploadID == "" {
		err := s.call(w.ctx, "begin", func(ctx context.Context) (err error) {
			w.uploadID, err = s.core.NewMultipartUpload(ctx, s.config.Bucket, w.key, octets)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.transfer(w.ctx, "send a part", func(ctx context.Context) error {
		part, err := s.core.PutObjectPart(ctx, s.config.Bucket, w.key, w.uploadID, len(w.sent)+1,
			bytes.NewReader(w.part), int64(len(w.part)), minio.PutObjectPartOptions{
				Sha256Hex: sumOf(w.part), DisableContentSha256: true, // of chunks
			})
		if err == nil {
			w.part = w.part[:0]
			w.sent = append(w.sent, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
		}
		return err
	})
}

// complete makes an object of what was written. An object of one part takes a single request.
func (w *objectWriter) complete() error {
	s := w.store
	if w.uploadID == "" {
		return storeError(w.ctx, "send", s.put(w.ctx, w.key, w.part, octets))
	}
	if err := w.send(); err != nil {
		return err
	}
	return s.transfer(w.ctx, "complete", func(ctx context.Context) error {
		_, err := s.core.CompleteMultipartUpload(ctx, s.config.Bucket, w.key, w.uploadID, w.sent, minio.PutObjectOptions{})
		return err
	})
}

// abort deletes the parts that were sent. If that fails, a later sweep tries again.
func (w *objectWriter) abort() {
	if w.uploadID == "" {
		return
	}
	_ = w.store.call(context.WithoutCancel(w.ctx), "abort", func(ctx context.Context) error {
		return w.store.core.AbortMultipartUpload(ctx, w.store.config.Bucket, w.key, w.uploadID)
	})
}

// sumOf returns the SHA-256 that signs the content of a request.
func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
