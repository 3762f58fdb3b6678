package client

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"coatcheck/api/client/watch"
)

// A ConnectionError means that no Coatcheck server responded at the URL.
type ConnectionError struct {
	// URL is the base URL of the server.
	URL string
	// Other reports whether something that is no Coatcheck server responded.
	Other bool
	// Reason is why, in a few words.
	Reason string
	// Err is the error of the connection, if there was one.
	Err error
}

// Unwrap returns the error of the connection.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Error implements error: what is wrong, and what to do.
func (e *ConnectionError) Error() string {
	if e.Other {
		return fmt.Sprintf("%s does not respond like a Coatcheck server (%s). Check --url or COATCHECK_URL.", e.URL, e.Reason)
	}
	return fmt.Sprintf("no Coatcheck server at %s (%s). Start one with `coatcheck serve`, or set --url or COATCHECK_URL.",
		e.URL, e.Reason)
}

// Explain returns an error of the HTTP client as a [ConnectionError], without the URL of the request, which may contain
// a token. The end of a context stays as it is.
func (c *Client) Explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	e := &ConnectionError{URL: c.URL, Err: err}
	text := err.Error()
	switch dns, isDNS := errors.AsType[*net.DNSError](err); {
	case isDNS:
		e.Reason = dns.Err + ": " + dns.Name
	case strings.Contains(text, "gave HTTP response to HTTPS client"):
		e.Other, e.Reason = true, "it speaks http, not https"
	case strings.HasSuffix(text, "EOF"), strings.Contains(text, "malformed HTTP"):
		e.Other, e.Reason = true, "it closed the connection or does not speak HTTP"
	default:
		e.Reason = cause(err)
	}
	return e
}

// cause returns the innermost text of a network error, such as "connection refused".
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		_, text, found := strings.Cut(op.Err.Error(), ": ") // "connect: connection refused"
		if found {
			return text
		}
		return op.Err.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "no response in time"
	}
	return err.Error()
}

// ExplainStream does what Explain does, for the error of an event stream.
func (c *Client) ExplainStream(err error) error {
	if e, ok := errors.AsType[*watch.StatusError](err); ok {
		problem := NewProblemError(e.StatusCode, e.Body)
		if problem.Code == noProblem && e.StatusCode < 500 {
			return c.notCoatcheck(response{status: e.StatusCode, header: http.Header{"Content-Type": {e.ContentType}}})
		}
		return problem
	}
	return c.Explain(err)
}

// notCoatcheck returns the error for a response that no Coatcheck server gives.
func (c *Client) notCoatcheck(r response) error {
	reason := fmt.Sprintf("it responds with %d %s", r.status, http.StatusText(r.status))
	if media, _, err := mime.ParseMediaType(r.header.Get("Content-Type")); err == nil {
		reason += " and " + media
	}
	return &ConnectionError{URL: c.URL, Other: true, Reason: reason}
}

// isJSON reports whether a response has JSON.
func isJSON(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (media == "application/json" || media == "application/problem+json")
}
