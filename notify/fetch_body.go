package notify

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxIdle is how long a server may send nothing.
const maxIdle = time.Minute

var errIdle = fmt.Errorf("the server sent nothing for %s", maxIdle)

// An idleContext ends when nothing was read for maxIdle.
type idleContext struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelCauseFunc
	timer           *time.Timer
}

func newIdleContext(ctx context.Context) *idleContext {
	ctx, cancel := context.WithCancelCause(ctx)
	return &idleContext{ctx, cancel, time.AfterFunc(maxIdle, func() { cancel(errIdle) })}
}

// stop ends the context.
func (c *idleContext) stop() {
	c.timer.Stop()
	c.cancel(nil)
}

// A fetchedBody is the content of a file that is being fetched.
type fetchedBody struct {
	io.Reader
	body io.Closer
	idle *idleContext
}

// Close implements [io.Closer].
func (b *fetchedBody) Close() error {
	b.idle.stop()
	return b.body.Close()
}

// An idleReader resets the timer of a context with everything that it reads.
type idleReader struct {
	io.Reader
	idle *idleContext
}

// Read implements [io.Reader].
func (r *idleReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.idle.timer.Reset(maxIdle)
	}
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(r.idle), errIdle) {
		err = errIdle
	}
	return n, err
}

// decoded returns the content of a response. Servers may send an encoding that was not asked for, such
// as one in which they store the file.
func decoded(resp *http.Response, idle *idleContext) (io.ReadCloser, error) {
	body := &fetchedBody{&idleReader{resp.Body, idle}, resp.Body, idle}
	switch encoding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		unzipped, err := gzip.NewReader(body.Reader)
		if err != nil {
			return nil, errors.New("the file has Content-Encoding: gzip and is not in that format")
		}
		body.Reader = unzipped
		return body, nil
	default:
		return nil, fmt.Errorf("the file has Content-Encoding: %.40q; expected none, or gzip", encoding)
	}
}
