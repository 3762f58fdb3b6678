package client

import (
	"net/http"
	"time"

	"coatcheck/api/client/watch"
)

// maxWait keeps the wait between two attempts to connect to an event stream at 5 s at most, with the quarter that is
// added.
const maxWait = 4 * time.Second

// Events returns the event stream of a job, which is given by its token, its id or one
// of its URLs. Credentials are sent to the client's own server only, and never with a
// token. Error: an [ArgumentError].
func (c *Client) Events(ref string) (*watch.Stream, error) {
	job, err := c.Job(ref)
	if err != nil {
		return nil, err
	}
	return job.Events(), nil
}

// Events returns the event stream of the job.
func (j *Job) Events() *watch.Stream {
	c, url := j.reader()
	s := &watch.Stream{
		URL: url + "/events", Header: http.Header{"User-Agent": c.header["User-Agent"]},
		Client: &http.Client{Transport: c.HTTP.Transport}, MaxWait: maxWait,
	}
	if credentials := c.Authorization(); credentials != "" {
		s.Header.Set("Authorization", credentials)
	}
	return s
}
