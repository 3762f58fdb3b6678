package client

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"coatcheck/api/client/watch"
)

var (
	jobName = regexp.MustCompile(`^job_[a-z0-9]+(\.[A-Za-z0-9_-]+)?$`)
	jobPath = regexp.MustCompile(`^(.*?)(?:/v1)?/jobs/([^/]+)(?:/events|/result|/cancel)?/?$`)
)

// Events returns the event stream of a job, which is given by its token, its id or one
// of its URLs. Credentials are sent to the client's own server only, and never with a
// token. Error: an [ArgumentError].
func (c *Client) Events(job string) (*watch.Stream, error) {
	base := c.URL
	if strings.Contains(job, "://") {
		u, err := url.Parse(job)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, BadArgument(fmt.Errorf("%s is no URL of a job", job))
		}
		m := jobPath.FindStringSubmatch(u.Path)
		if m == nil {
			return nil, BadArgument(fmt.Errorf("%s is no URL of a job, such as %s/v1/jobs/job_…", job, c.URL))
		}
		base, job = u.Scheme+"://"+u.Host+m[1], m[2]
	}
	if !jobName.MatchString(job) {
		return nil, BadArgument(fmt.Errorf("expected a job's token, its id or one of its URLs, got %q", job))
	}
	s := &watch.Stream{URL: base + "/v1/jobs/" + job + "/events", Header: http.Header{"User-Agent": c.header["User-Agent"]}, Client: &http.Client{Transport: c.HTTP.Transport}}
	isToken := strings.Contains(job, ".")
	if credentials := c.header.Get("Authorization"); credentials != "" && base == c.URL && !isToken {
		s.Header.Set("Authorization", credentials)
	}
	return s, nil
}
