package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"coatcheck/jobs"
)

const (
	// maxErrorBody is how many bytes of a response are read for an error's text.
	maxErrorBody = 1 << 10
	// maxErrorWait is how long the rest of such a response may take.
	maxErrorWait = 2 * time.Second
	// maxRetryAfter is the longest wait that a server may ask for.
	maxRetryAfter = 24 * time.Hour
)

var errIdle = errors.New("the server sent nothing for too long")

// run calls the server for the current job and returns its response.
func (u *Upstream) run(ctx context.Context, input json.RawMessage) (output json.RawMessage, err error) {
	err = u.call(ctx, input, func(ctx context.Context, resp *http.Response, body io.Reader) (err error) {
		switch media := mediaType(resp); {
		case u.stream && media == "text/event-stream":
			output, err = u.readStream(ctx, body, readEvent)
		case u.stream && slices.Contains([]string{"application/x-ndjson", "application/ndjson", "application/jsonl"}, media):
			output, err = u.readStream(ctx, body, readLine)
		default:
			output, err = u.readBody(ctx, resp, body)
		}
		return err
	})
	return output, err
}

// runForFile calls the server for the current job and returns its response as a file.
func (u *Upstream) runForFile(ctx context.Context, input json.RawMessage) (f jobs.File, err error) {
	err = u.call(ctx, input, func(ctx context.Context, resp *http.Response, body io.Reader) (err error) {
		f, err = jobs.SaveFile(ctx, fileName(resp), resp.Header.Get("Content-Type"), body)
		return err
	})
	return f, err
}

// fileName returns the name of a response's file (RFC 6266), or one for its content type.
func fileName(resp *http.Response) string {
	if _, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil {
		if name := parameters["filename"]; name != "" {
			return name
		}
	}
	if extensions, err := mime.ExtensionsByType(mediaType(resp)); err == nil && len(extensions) > 0 {
		return "output" + extensions[len(extensions)-1]
	}
	return "output"
}

// call calls the server for the current job, and read with a successful response. When
// ctx ends, the request is closed.
func (u *Upstream) call(
	ctx context.Context, input json.RawMessage,
	read func(ctx context.Context, resp *http.Response, body io.Reader) error,
) error {
	values, err := u.Schema.Values(input)
	if err != nil {
		return errors.Join(err, jobs.ErrPermanent)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newIdleWatch(u.idle, func() { cancel(errIdle) })
	defer watch.stop()
	req, err := u.newRequest(ctx, values, watch)
	if err != nil {
		return err
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return failure(ctx, req, err)
	}
	defer resp.Body.Close()
	body := io.Reader(&watchedBody{resp.Body, watch})
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return u.refusal(resp, body)
	}
	if err := read(ctx, resp, body); err != nil {
		return failure(ctx, req, err)
	}
	return nil
}

// failure returns the error of a call without its URL, whose query may have a secret.
func failure(ctx context.Context, req *http.Request, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errIdle):
		return errIdle
	case cause != nil:
		return ctx.Err()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s %s://%s: %w", req.Method, req.URL.Scheme, req.URL.Host, e.Err)
	}
	return err
}

// refusal returns the error of a response that is no success.
func (u *Upstream) refusal(resp *http.Response, body io.Reader) error {
	text := "the server responded " + resp.Status
	if location := resp.Header.Get("Location"); resp.StatusCode < 400 && location != "" {
		text += fmt.Sprintf(" and redirected to %.200q, which is not followed: set request.url to it", location)
	}
	slow := time.AfterFunc(maxErrorWait, func() { resp.Body.Close() })
	part, _ := io.ReadAll(io.LimitReader(body, maxErrorBody)) // what has come is enough
	slow.Stop()
	if part = bytes.TrimSpace(part); len(part) > 0 {
		text += ": " + strings.ToValidUTF8(string(part), string(utf8.RuneError))
	}
	err := errors.New(u.secrets.Replace(text))
	if u.permanent(resp.StatusCode) {
		return errors.Join(err, jobs.ErrPermanent)
	}
	if wait, ok := retryAfter(resp); ok {
		return errors.Join(err, jobs.RetryAfter(wait))
	}
	return err
}

// permanent reports whether another attempt would get the same status: by default, after
// a redirect and after 4xx statuses that do not depend on the time.
func (u *Upstream) permanent(status int) bool {
	if u.permanentStatus != nil {
		return slices.Contains(u.permanentStatus, status)
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 300 && status <= 499
}

// retryAfter returns how long the server asks to wait (RFC 9110, section 10.2.3).
func retryAfter(resp *http.Response) (time.Duration, bool) {
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, time.Until(at)), maxRetryAfter), true
	}
	return 0, false
}

func mediaType(resp *http.Response) string {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return media
}

// readBody returns a response that is not streamed.
func (u *Upstream) readBody(ctx context.Context, resp *http.Response, body io.Reader) (json.RawMessage, error) {
	limit := jobs.MaxOutput(ctx)
	text, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	if len(text) > limit {
		return nil, tooLarge(limit)
	}
	if u.output == outputText {
		return json.Marshal(strings.ToValidUTF8(string(text), string(utf8.RuneError)))
	}
	if text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff"))); len(text) == 0 {
		return json.RawMessage("null"), nil
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("the response is not JSON but %q; it begins with %.200q; set `output: text` to take it as it is: %w",
			resp.Header.Get("Content-Type"), u.secrets.Replace(string(text)), jobs.ErrPermanent)
	}
	return text, nil
}

func tooLarge(limit int) error { return &jobs.OutputLimitError{What: "the response", Limit: limit} }

// An idleWatch calls a function when nothing was read for some time. A nil one does
// nothing.
type idleWatch struct {
	timer *time.Timer
	after time.Duration
}

func newIdleWatch(after time.Duration, idle func()) *idleWatch {
	if after == 0 {
		return nil
	}
	return &idleWatch{time.AfterFunc(after, idle), after}
}

func (w *idleWatch) reset() {
	if w != nil {
		w.timer.Reset(w.after)
	}
}

func (w *idleWatch) stop() {
	if w != nil {
		w.timer.Stop()
	}
}

// A watchedBody resets a watch with everything that is read.
type watchedBody struct {
	io.ReadCloser
	watch *idleWatch
}

// Read implements [io.Reader].
func (r *watchedBody) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 {
		r.watch.reset()
	}
	return n, err
}
