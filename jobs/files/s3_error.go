package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// An UnavailableError means that a store of files does not respond, or not as it should. It may do so
// later.
type UnavailableError struct{ reason string }

// Error implements error. Callers of the job see it, so it has no names of the store.
func (e *UnavailableError) Error() string { return "the file store is unavailable: " + e.reason }

// codes of S3.
const (
	codeNoKey    = "NoSuchKey"
	codeNoUpload = "NoSuchUpload"
	codeNoBucket = "NoSuchBucket"
)

// storeError returns the error of a request to a store: [fs.ErrNotExist], that of ctx, or an
// [UnavailableError].
func storeError(ctx context.Context, doing string, err error) error {
	var response minio.ErrorResponse
	var unavailable *UnavailableError
	switch isResponse := errors.As(err, &response); {
	case err == nil || errors.As(err, &unavailable):
		return err
	case ctx.Err() != nil:
		err = ctx.Err()
	case isResponse && (response.Code == codeNoKey || response.Code == codeNoUpload):
		err = fs.ErrNotExist
	case isResponse:
		err = &UnavailableError{responseText(response)}
	case errors.Is(err, context.DeadlineExceeded):
		err = &UnavailableError{"it does not respond in time"}
	default:
		err = &UnavailableError{networkText(err)}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// responseText describes a response with an error.
func responseText(r minio.ErrorResponse) string {
	text := fmt.Sprintf("it responded %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	if r.StatusCode == 0 { // an error in a response that began with 200
		text = "it responded"
	}
	if r.Code != "" && !strings.HasPrefix(r.Code, strconv.Itoa(r.StatusCode)) { // the response to HEAD has none
		text += ", " + r.Code
	}
	if r.RequestID != "" {
		text += ", to request " + r.RequestID
	}
	return text
}

// networkText describes an error of the network, without addresses.
func networkText(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.Err
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	if text := err.Error(); !strings.Contains(text, "://") {
		return text
	}
	return "it closed the connection" // as the client says with the URL
}

// openError explains why a store can't be opened.
func openError(c *S3Config, err error) error {
	var response minio.ErrorResponse
	switch isResponse := errors.As(err, &response); {
	case isResponse && response.Code == codeNoBucket:
		return fmt.Errorf("files.s3: there is no bucket %s: create it, or check bucket, endpoint and region", c.Bucket)
	case isResponse && (response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized):
		return fmt.Errorf(
			"files.s3: the store refuses the credentials (%s): check access_key, secret_key, region and "+
				"the permissions for the bucket %s",
			response.Code, c.Bucket)
	}
	return fmt.Errorf("files.s3: %w", err)
}
