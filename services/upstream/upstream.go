// Package upstream makes services of HTTP servers: each job calls a server, waits for its
// response as long as it takes, and returns that. A YAML configuration describes them.
package upstream

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// An Upstream is a service that calls an HTTP server.
type Upstream struct {
	// Name is the name of the service.
	Name string
	line int // in the configuration file

	summary         string
	method          string
	url             spec.Template
	headers         http.Header
	body            string // one of bodies
	schema          spec.Schema
	output          string // one of outputs
	stream          bool   // streamed responses become output events
	idempotencyKey  bool
	timeout, idle   time.Duration
	attempts        int
	concurrency     int   // 0 for no limit
	permanentStatus []int // nil for the default
	missing         spec.Errors
	secrets         *strings.Replacer // hides secrets in texts
	client          *http.Client
}

// The forms of a request's body.
const (
	bodyJSON      = "json"
	bodyForm      = "form"      // application/x-www-form-urlencoded
	bodyMultipart = "multipart" // multipart/form-data (RFC 7578)
	bodyNone      = "none"
)

var bodies = []string{bodyJSON, bodyForm, bodyMultipart, bodyNone}

// The forms of a response's body.
const (
	outputJSON = "json" // one JSON value; a streamed response is a list
	outputText = "text" // a string
	outputFile = "file" // a file with the content type of the response
)

var outputs = []string{outputJSON, outputText, outputFile}

var outputSchemas = map[string]json.RawMessage{
	outputJSON: json.RawMessage(`{"description": "What the server responds."}`),
	outputText: json.RawMessage(`{"type": "string", "description": "What the server responds."}`),
}

// Register adds the upstream to a registry. Error: its name is taken.
func (u *Upstream) Register(r *jobs.Registry) spec.Errors {
	if r.Get(u.Name) != nil {
		return spec.Errors{{Line: u.line, Text: "upstreams." + u.Name + ": there is a service of this name already"}}
	}
	service := jobs.Service{
		Name: u.Name, Summary: u.summary, Timeout: u.timeout, MaxAttempts: u.attempts, Concurrency: u.concurrency,
		InputSchema: u.schema.JSON, OutputSchema: outputSchemas[u.output], Check: u.check, External: true,
	}
	if u.output == outputFile {
		service.OutputSchema = spec.FileSchema
		jobs.Add(r, service, u.runForFile)
	} else {
		jobs.Add(r, service, u.run)
	}
	return nil
}

// NeedsFiles returns why a server without a directory for files can't run the service; nil
// if it can.
func (u *Upstream) NeedsFiles() spec.Errors {
	if u.output != outputFile {
		return nil
	}
	return spec.Errors{{
		Line: u.line, Text: "upstreams." + u.Name + ".output: to return files, set files.dir to a directory that all processes share",
	}}
}

// Missing returns which of the secrets are not on this machine.
func (u *Upstream) Missing() spec.Errors { return u.missing }

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
