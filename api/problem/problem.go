// Package problem has the error responses of the API (RFC 9457) and their codes.
package problem

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs/schema"
)

// MediaType is the media type of problem details (RFC 9457).
const MediaType = "application/problem+json"

// A Problem is an error response (RFC 9457). It implements error.
type Problem struct { //nolint:errname // the term of the RFC
	Type      string                `json:"type" format:"uri-reference" doc:"Names the kind of problem."`
	Title     string                `json:"title"`
	Status    int                   `json:"status"`
	Detail    string                `json:"detail,omitempty" doc:"What is wrong here, and what would be right."`
	Code      string                `json:"code" doc:"The kind of problem, for programs."`
	Instance  string                `json:"instance" format:"uri-reference" doc:"The path of the request."`
	RequestID string                `json:"request_id" doc:"Stands in the server's log too."`
	Errors    []schema.ProblemError `json:"errors,omitempty" nullable:"false" doc:"All mistakes of the request."`

	header http.Header
}

// Error implements error.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return MediaType }

// New returns a problem that is not yet bound to a request; see
// ForRequest.
func New(code, detail string, errs ...schema.ProblemError) *Problem {
	title := strings.ToUpper(code[:1]) + strings.ReplaceAll(code[1:], "-", " ")
	return &Problem{
		Type: "/problems/" + code, Title: title, Status: statusOf[code], Detail: detail, Code: code, Errors: errs,
		header: make(http.Header),
	}
}

// RetryAfter adds a Retry-After header, in whole seconds and at least 1.
func (p *Problem) RetryAfter(wait time.Duration) *Problem {
	p.header.Set("Retry-After", strconv.Itoa(max(1, int(wait.Seconds()))))
	return p
}

// ForRequest sets the fields that depend on the request.
func (p *Problem) ForRequest(baseURL, path, id string) *Problem {
	p.Type = baseURL + "/problems/" + p.Code
	p.Instance = path
	p.RequestID = id
	return p
}

// Invalid returns the problem of a request with these validation errors.
func Invalid(errs []schema.ProblemError) *Problem {
	detail := "the request is invalid"
	if len(errs) > 1 {
		detail = fmt.Sprintf("the request has %d errors", len(errs))
	}
	return New("invalid-input", detail, errs...)
}
