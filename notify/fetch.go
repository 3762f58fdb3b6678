package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// A Download is a file that is being fetched.
type Download struct {
	// Name is the file's name from its Content-Disposition (RFC 6266), or else the last element of
	// its URL's path. It may be empty and have any characters.
	Name string
	// ContentType is its media type; "" if the server does not know it.
	ContentType string
	io.ReadCloser
}

// A FetchError is why a file could not be fetched. Its text has no URL, which may be secret.
type FetchError struct {
	reason string
	// Final means that another attempt would fail too.
	Final bool
	// RetryAfter is how long the server asks to wait; 0 if it does not.
	RetryAfter time.Duration
}

// Error implements error.
func (e *FetchError) Error() string { return e.reason }

// maxRedirects is how many redirects are followed.
const maxRedirects = 5

var errRedirects = errors.New("too many redirects")

// Fetch gets a file from a URL, under the rules for callbacks: [Guard.CheckURL] checks the URL and
// those of redirects, and no private address is reached. ctx limits the whole transfer. Error: a
// [*FetchError].
func (s *Sender) Fetch(ctx context.Context, url string) (*Download, error) {
	checked, err := s.guard.CheckURL(url)
	if err != nil {
		return nil, &FetchError{reason: err.Error(), Final: true}
	}
	idle := newIdleContext(ctx)
	req, err := http.NewRequestWithContext(idle, http.MethodGet, checked, http.NoBody)
	if err != nil {
		idle.stop()
		return nil, &FetchError{reason: "the URL is not valid", Final: true}
	}
	req.Header.Set("User-Agent", "Coatcheck/1 (files)")
	req.Header.Set("Accept-Encoding", "identity")
	client := &http.Client{Transport: s.client.Transport, CheckRedirect: s.checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		idle.stop()
		return nil, s.fetchError(idle, req, err)
	}
	content, encodingErr := decoded(resp, idle)
	if resp.StatusCode != http.StatusOK || encodingErr != nil {
		resp.Body.Close()
		idle.stop()
	}
	if resp.StatusCode == http.StatusOK && encodingErr != nil {
		return nil, &FetchError{reason: encodingErr.Error(), Final: true}
	}
	if resp.StatusCode != http.StatusOK {
		result := classifyStatus(resp)
		return nil, &FetchError{
			reason: "the server responded " + resp.Status, Final: result.Class == Refused || result.Class == Final, RetryAfter: result.RetryAfter,
		}
	}
	return &Download{fileName(resp), fileType(resp), content}, nil
}

// checkRedirect checks a redirect to another URL.
func (s *Sender) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	req.Header.Del("Referer") // the URL may be secret
	_, err := s.guard.CheckURL(req.URL.String())
	return err
}

// fetchError returns the error of a request that got no response.
func (s *Sender) fetchError(ctx context.Context, req *http.Request, err error) error {
	if refused, ok := errors.AsType[*URLError](err); ok {
		return &FetchError{reason: "the server redirects: " + refused.Reason, Final: true}
	}
	if errors.Is(context.Cause(ctx), errIdle) {
		return &FetchError{reason: errIdle.Error()}
	}
	if errors.Is(err, errRedirects) {
		return &FetchError{reason: fmt.Sprintf("the server redirects more than %d times", maxRedirects), Final: true}
	}
	result := s.attributeLookup(req.URL.Hostname(), classifyError(ctx, err))
	return &FetchError{reason: strings.Replace(result.Message, "receiver", "server", 1), Final: result.Class == Final}
}

func fileName(resp *http.Response) string {
	if _, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil && parameters["filename"] != "" {
		return parameters["filename"]
	}
	if name := path.Base(resp.Request.URL.Path); name != "." && name != "/" {
		return name
	}
	return ""
}

// fileType returns the content type of a response. Servers send application/octet-stream for what
// they do not know.
func fileType(resp *http.Response) string {
	if t := resp.Header.Get("Content-Type"); t != "application/octet-stream" {
		return t
	}
	return ""
}
