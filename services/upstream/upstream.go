// Package upstream makes services of HTTP servers: each job calls a server, waits for its
// response as long as it takes, and returns that. A YAML configuration describes them.
package upstream

import (
	"net"
	"net/http"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// An Upstream is a service that calls an HTTP server.
type Upstream struct {
	spec.Service

	method          string
	url             spec.Template
	headers         http.Header
	body            string // one of bodies
	output          string // one of outputs
	stream          bool   // streamed responses become output events
	idempotencyKey  bool
	idle            time.Duration
	permanentStatus []int             // nil for the default
	secrets         *strings.Replacer // hides secrets in texts
	client          *http.Client
}

// The forms of a request's body.
const (
	bodyJSON      = "json"
	bodyForm      = "form"      // application/x-www-form-urlencoded
	bodyMultipart = "multipart" // multipart/form-data (RFC 7578)
	bodyRaw       = "raw"       // a file of the input, as it is
	bodyNone      = "none"
)

var bodies = []string{bodyJSON, bodyForm, bodyMultipart, bodyRaw, bodyNone}

// The forms of a response's body.
const (
	outputJSON = "json" // one JSON value; a streamed response is a list
	outputText = "text" // a string
)

var outputs = []string{outputJSON, outputText, spec.OutputFile}

// Register adds the upstream to a registry. Error: its name is taken.
func (u *Upstream) Register(r *jobs.Registry) spec.Errors {
	if u.output == spec.OutputFile {
		return spec.Register(r, &u.Service, u.output, u.check, u.runForFile)
	}
	return spec.Register(r, &u.Service, u.output, u.check, u.run)
}

// NeedsFiles returns why a server without a place for files can't run the service; nil
// if it can.
func (u *Upstream) NeedsFiles() spec.Errors { return u.Service.NeedsFiles(u.output) }

// newClient returns a client that follows no redirect and waits for a response as long
// as its request's context lasts, but notices a dead connection.
func newClient() *http.Client {
	dialer := &net.Dialer{
		Timeout:         10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
