package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// newRequest returns the request for an input.
func (u *Upstream) newRequest(ctx context.Context, values spec.Values) (*http.Request, error) {
	target, err := u.target(values)
	if err != nil {
		return nil, err
	}
	body, contentType, err := u.newBody(values)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, u.method, target, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
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

// newBody returns the body of the request and its media type.
func (u *Upstream) newBody(values spec.Values) (body io.Reader, contentType string, err error) {
	switch u.body {
	case bodyNone:
		return http.NoBody, "", nil
	case bodyForm:
		form := make(url.Values)
		err := fields(values, func(name, value string) error {
			form.Add(name, value)
			return nil
		})
		return strings.NewReader(form.Encode()), "application/x-www-form-urlencoded", err
	case bodyMultipart:
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		err := fields(values, w.WriteField)
		if err == nil {
			err = w.Close()
		}
		return &b, w.FormDataContentType(), err
	default:
		text, err := json.Marshal(values)
		return bytes.NewReader(text), "application/json", err
	}
}

// fields calls add with each property as a field of a form: each item of a list, and an
// object as JSON. null is no field.
func fields(values spec.Values, add func(name, value string) error) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var items []json.RawMessage
		if text := bytes.TrimSpace(values[name]); len(text) == 0 || text[0] != '[' {
			items = []json.RawMessage{values[name]}
		} else if err := json.Unmarshal(text, &items); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, item := range items {
			if string(item) == "null" {
				continue
			}
			text, err := spec.Values{name: item}.Text(name)
			if err != nil {
				return err
			}
			if err := add(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}
