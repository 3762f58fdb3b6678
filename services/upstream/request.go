package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// newRequest returns the request for an input, which resets the watch with what is sent.
func (u *Upstream) newRequest(ctx context.Context, values spec.Values, watch *idleWatch) (*http.Request, error) {
	target, err := u.target(values)
	if err != nil {
		return nil, errors.Join(err, jobs.ErrPermanent)
	}
	boundary := multipart.NewWriter(nil).Boundary()
	body, err := u.newBody(ctx, values, boundary)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, u.method, target, http.NoBody)
	if err != nil {
		return nil, errors.Join(err, jobs.ErrPermanent, body.Close())
	}
	if body.bytes > 0 {
		req.Body, req.ContentLength = &watchedBody{body, watch}, body.bytes
		req.GetBody = func() (io.ReadCloser, error) { // if a connection was closed meanwhile
			again, err := u.newBody(ctx, values, boundary)
			if err != nil {
				return nil, err
			}
			return &watchedBody{again, watch}, nil
		}
	} else if err := body.Close(); err != nil {
		return nil, err
	}
	if body.contentType != "" {
		req.Header.Set("Content-Type", body.contentType)
	}
	req.Header.Set("User-Agent", "Coatcheck")
	req.Header.Set("Accept", "*/*")
	maps.Copy(req.Header, u.headers)
	req.Header.Set("X-Coatcheck-Job", jobs.JobID(ctx))
	req.Header.Set("X-Coatcheck-Attempt", strconv.Itoa(jobs.AttemptOf(ctx)))
	if u.idempotencyKey {
		input, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(input) // two steps of one job have other inputs
		req.Header.Set("Idempotency-Key", `"`+jobs.JobID(ctx)+"-"+hex.EncodeToString(sum[:8])+`"`)
	}
	return req, nil
}

// target returns the URL for an input. Error: a value would lead to another path: by . or
// .. servers leave a directory, also if the dots are encoded (WHATWG URL), and an empty
// value makes two slashes.
func (u *Upstream) target(values spec.Values) (string, error) {
	target, err := u.url.Fill(values, encode)
	if err != nil || !u.url.HasPlaceholder() {
		return target, err
	}
	parsed, err := url.Parse(target)
	if err != nil {
		return "", errors.New("the values make no URL")
	}
	segments := strings.Split(strings.TrimPrefix(parsed.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		if text, err := url.PathUnescape(segment); err != nil || text == "." || text == ".." || text == "" && i < len(segments)-1 {
			return "", errors.New("a value in the path of the URL must not be empty, nor dots alone")
		}
	}
	return target, nil
}

// check returns why an input that its schema allows can't be sent.
func (u *Upstream) check(input []byte) error {
	values, err := u.Schema.Values(input)
	if err != nil {
		return err
	}
	_, err = u.target(values)
	return err
}

// encode encodes a value in the path or, after a question mark, in the query of a URL.
func encode(value, before string) string {
	if strings.Contains(before, "?") {
		return url.QueryEscape(value)
	}
	return url.PathEscape(value)
}
