package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

var (
	jobName = regexp.MustCompile(`^job_[a-z0-9]+(\.[A-Za-z0-9_-]+)?$`)
	jobPath = regexp.MustCompile(`^(.*?)(?:/v1)?/jobs/([^/]+)(?:/events|/result|/log|/cancel|/retry|/deliveries)?/?$`)
)

// A Job is a job on a server.
type Job struct {
	// Server is a client of the job's server.
	Server *Client
	// Own reports whether that is the server of the client that the job comes from. Another server gets no
	// credentials.
	Own bool
	// ID is the job's id.
	ID string
	// Token is the job's token, or "" if only the id is known.
	Token string
}

// Job returns the job that is given by its token, its id or one of its URLs. It sends no request. Error: an
// [ArgumentError].
func (c *Client) Job(ref string) (*Job, error) {
	job, name := &Job{Server: c, Own: true}, ref
	if strings.Contains(ref, "://") {
		u, err := url.Parse(ref)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, BadArgument(fmt.Errorf("%s is no URL of a job", ref))
		}
		m := jobPath.FindStringSubmatch(u.Path)
		if m == nil {
			return nil, BadArgument(fmt.Errorf("%s is no URL of a job, such as %s/v1/jobs/job_…", ref, c.URL))
		}
		name = m[2]
		if base := u.Scheme + "://" + u.Host + m[1]; base != c.URL {
			job.Server, job.Own = c.anonymous(base), false
		}
	}
	if !jobName.MatchString(name) {
		return nil, BadArgument(fmt.Errorf("expected a job's token, its id or one of its URLs, got %q", name))
	}
	var isToken bool
	if job.ID, _, isToken = strings.Cut(name, "."); isToken {
		job.Token = name
	}
	return job, nil
}

// anonymous returns a client of a server that has no credentials.
func (c *Client) anonymous(server string) *Client {
	other := &Client{URL: server, HTTP: c.HTTP, header: c.header.Clone()}
	other.header.Del("Authorization")
	return other
}

// reader returns the client and the URL to read the job with: its token without credentials if there is one, or else
// its id.
func (j *Job) reader() (c *Client, url string) {
	if j.Token != "" {
		return j.Server.anonymous(j.Server.URL), j.Server.URL + "/v1/jobs/" + j.Token
	}
	return j.Server, j.URL()
}

// URL returns the URL of the job, with its id.
func (j *Job) URL() string { return j.Server.URL + "/v1/jobs/" + j.ID }

// Read decodes the job into v.
func (j *Job) Read(ctx context.Context, v any) error {
	c, url := j.reader()
	_, err := c.Call(ctx, http.MethodGet, url, nil, nil, v)
	return err
}

// Log returns the newest part of the job's log. truncated reports whether older lines are missing.
func (j *Job) Log(ctx context.Context) (text string, truncated bool, err error) {
	c, url := j.reader()
	resp, err := c.send(ctx, http.MethodGet, url+"/log", http.Header{"Accept": {"text/plain"}}, nil)
	if err != nil {
		return "", false, err
	}
	return string(resp.body), resp.header.Get("Log-Truncated") == "true", nil
}

// Act calls an action of the job, such as "cancel", and decodes the response into v.
func (j *Job) Act(ctx context.Context, action string, body []byte, v any) error {
	_, err := j.Server.Call(ctx, http.MethodPost, j.URL()+"/"+action, nil, body, v)
	return err
}

// Deliveries decodes the list of the job's callbacks into v.
func (j *Job) Deliveries(ctx context.Context, v any) error {
	_, err := j.Server.Call(ctx, http.MethodGet, j.URL()+"/deliveries", nil, nil, v)
	return err
}
