package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"coatcheck/jobs/keys"
)

// An S3Config says where an S3-compatible store is. It contains secrets.
type S3Config struct {
	// Endpoint is the URL of the store. Default: AWS.
	Endpoint string
	Bucket   string
	// Prefix is the prefix of all keys, as of a directory.
	Prefix string
	Region string
	// AccessKey and SecretKey are the keys; SessionToken belongs to temporary ones. Without keys, the
	// store uses the role that AWS gives the process: in EKS, ECS or EC2.
	AccessKey, SecretKey, SessionToken string
	// Timeout limits how long the store may take to respond, and a quarter of how long it may take to
	// receive a part of a file. Default: 30 seconds.
	Timeout time.Duration
}

// An S3 stores files in an S3-compatible store, which several processes may share: each file as
// PREFIX/JOB/FILE. Files never change, and appear when they are complete.
type S3 struct {
	quota
	config   S3Config
	core     *minio.Core
	partSize int
	owner    string // the server, for sweeps
}

const (
	// awsEndpoint is the endpoint of AWS, from which the client derives that of the region.
	awsEndpoint = "https://s3.amazonaws.com"
	// minPart is the minimum size of a part of an object in bytes; maxParts is how many it may have.
	minPart, maxParts = 5 << 20, 10_000
	// tries is how often a request is tried.
	tries = 3
)

// credentials returns the keys, or what fetches those of the role.
func (c *S3Config) credentials() *credentials.Credentials {
	if c.AccessKey == "" && c.SecretKey == "" {
		return credentials.NewIAM("")
	}
	return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
}

// newS3 returns a store without a look at it.
func newS3(c S3Config, limits Limits) (*S3, error) {
	endpoint, err := url.Parse(cmp.Or(c.Endpoint, awsEndpoint))
	if err != nil || endpoint.Host == "" {
		return nil, errors.New("files.s3.endpoint: expected a URL")
	}
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	if c.Prefix = strings.Trim(c.Prefix, "/"); c.Prefix != "" {
		c.Prefix += "/"
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:  c.credentials(),
		Secure: endpoint.Scheme == "https", Region: c.Region, MaxRetries: tries,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("files.s3: %w", err)
	}
	core.SetAppInfo("coatcheck", "")
	return &S3{
		quota: quota{limits: limits}, config: c, core: core,
		partSize: int(max(minPart, (limits.File+maxParts-1)/maxParts)),
	}, nil
}

// Share implements [Store].
func (s *S3) Share() *Share {
	return &Share{S3: &s.config, Limits: s.limits, Used: s.used.Load()}
}

// key returns the key of a file of a job; false if it can't have one.
func (s *S3) key(jobID, fileID string) (key string, ok bool) {
	return s.config.Prefix + jobID + "/" + fileID, keys.ValidID("job_", jobID) && validFileID(fileID)
}

// call calls fn, which makes a request, with a timeout.
func (s *S3) call(ctx context.Context, doing string, fn func(context.Context) error) error {
	return s.within(ctx, s.config.Timeout, doing, fn)
}

// transfer is call for a request that has or moves a part of a file.
func (s *S3) transfer(ctx context.Context, doing string, fn func(context.Context) error) error {
	return s.within(ctx, 4*s.config.Timeout, doing, fn)
}

func (s *S3) within(ctx context.Context, limit time.Duration, doing string, fn func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return storeError(ctx, doing, fn(limited))
}

// list returns the objects below a prefix, in the order of their keys.
func (s *S3) list(ctx context.Context, prefix string) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		limited, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(s.config.Timeout, func() { cancel(context.DeadlineExceeded) })
		defer timer.Stop()
		options := minio.ListObjectsOptions{Prefix: s.config.Prefix + prefix, Recursive: true}
		for object := range s.core.ListObjectsIter(limited, s.config.Bucket, options) {
			timer.Stop() // what the caller does may take longer
			if object.Err != nil {
				yield(object, storeError(ctx, "list files", cmp.Or(context.Cause(limited), object.Err)))
				return
			}
			if !yield(object, nil) {
				return
			}
			timer.Reset(s.config.Timeout)
		}
		if err := context.Cause(limited); err != nil {
			yield(minio.ObjectInfo{}, storeError(ctx, "list files", err))
		}
	}
}

// stat returns what the store knows about an object.
func (s *S3) stat(ctx context.Context, doing, key string) (info minio.ObjectInfo, err error) {
	err = s.call(ctx, doing, func(ctx context.Context) (err error) {
		info, err = s.core.StatObject(ctx, s.config.Bucket, key, minio.StatObjectOptions{})
		return err
	})
	return info, err
}
