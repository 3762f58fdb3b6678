// Package client calls a Coatcheck server over its HTTP API.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultURL is the URL of a server that was started with default settings on this
// machine.
const DefaultURL = "http://127.0.0.1:5000"

// timeout bounds a call, with its response.
const timeout = 2 * time.Minute

// maxResponse bounds what is read of a response, in bytes.
const maxResponse = 256 << 20

// A Config describes a client.
type Config struct {
	// URL is the server's base URL, without credentials. Default: [DefaultURL]. Without a scheme, it is
	// http.
	URL string
	// APIKey is sent as a bearer token (RFC 6750). It wins over BasicAuth.
	APIKey string
	// BasicAuth is a name, a colon and a password (RFC 7617).
	BasicAuth string
	// UserAgent is the User-Agent header. Default: Go's.
	UserAgent string
	// Connections is how many idle connections are kept. Default: 2.
	Connections int
}

// A Client calls one server. It may be used by several goroutines.
type Client struct {
	// URL is the server's base URL, without a slash at its end.
	URL string
	// HTTP sends requests without credentials.
	HTTP   *http.Client
	header http.Header
}

// An ArgumentError is a mistake in an argument, found before any request is sent.
type ArgumentError struct{ error }

// Unwrap returns the error that describes the mistake.
func (e *ArgumentError) Unwrap() error { return e.error }

// BadArgument returns err as an [ArgumentError].
func BadArgument(err error) error { return &ArgumentError{err} }

// New returns a client. Error: an [ArgumentError] about the URL.
func New(c Config) (*Client, error) {
	server := cmp.Or(c.URL, DefaultURL)
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, BadArgument(errors.New("--url: expected a server's URL such as " + DefaultURL + ", without credentials"))
	}
	client := &Client{URL: strings.TrimSuffix(server, "/"), header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}}
	if c.UserAgent != "" {
		client.header.Set("User-Agent", c.UserAgent)
	}
	if c.APIKey != "" {
		client.header.Set("Authorization", "Bearer "+c.APIKey)
	} else if name, password, ok := strings.Cut(c.BasicAuth, ":"); ok {
		r := http.Request{Header: client.header}
		r.SetBasicAuth(name, password)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, c.Connections
	transport.DisableCompression = true
	client.HTTP = &http.Client{Transport: transport, Timeout: timeout}
	return client, nil
}

// Authorization returns the value of the Authorization header, "" for none.
func (c *Client) Authorization() string { return c.header.Get("Authorization") }

// Call sends a request with the client's credentials and decodes the JSON of the
// response into v, unless v is nil. It returns the response's status. Error: a
// [ProblemError] for a status of 400 or above, a [ConnectionError] if no Coatcheck server responds.
func (c *Client) Call(ctx context.Context, method, url string, header http.Header, body []byte, v any) (status int, err error) {
	resp, err := c.send(ctx, method, url, header, body)
	if err != nil {
		return resp.status, err
	}
	if v != nil {
		if err := json.Unmarshal(resp.body, v); err != nil {
			if !isJSON(resp.header) {
				return resp.status, c.notCoatcheck(resp)
			}
			return resp.status, fmt.Errorf("the response of %s to a %s is not the expected JSON: %w", c.URL, method, err)
		}
	}
	return resp.status, nil
}

// A response is a response with its whole body.
type response struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request and reads the response.
func (c *Client) send(ctx context.Context, method, url string, header http.Header, body []byte) (response, error) {
	return c.sendBody(ctx, method, url, header, bytes.NewReader(body))
}

func (c *Client) sendBody(ctx context.Context, method, url string, header http.Header, body io.Reader) (r response, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return r, err
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, header)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return r, c.Explain(err)
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	if r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxResponse)); err != nil {
		return response{}, err
	}
	if r.status >= 400 {
		problem := NewProblemError(r.status, r.body)
		if problem.Code == noProblem && r.status < 500 {
			return r, c.notCoatcheck(r)
		}
		return r, problem
	}
	return r, nil
}
