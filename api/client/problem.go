package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A ProblemError is a response with a status of 400 or above: a problem document
// (RFC 9457).
type ProblemError struct {
	// Status is the HTTP status.
	Status int
	// Code is the problem's code, such as "not-found".
	Code string
	// Detail explains the problem.
	Detail string
	// Errors are the mistakes in the request, each with its location.
	Errors []struct {
		Location, Message string
		Value             json.RawMessage
	}
}

// noProblem is the code of a response without a problem document.
const noProblem = "no problem document"

// NewProblemError returns the problem in the body of a response, which may be none.
func NewProblemError(status int, body []byte) *ProblemError {
	r := new(ProblemError)
	if json.Unmarshal(body, r) != nil || r.Code == "" {
		*r = ProblemError{Code: noProblem, Detail: http.StatusText(status)}
	}
	r.Status = status
	return r
}

// Error implements error: the problem, then each mistake with its location.
func (r *ProblemError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d %s: %s", r.Status, r.Code, Printable(r.Detail))
	for _, e := range r.Errors {
		fmt.Fprintf(&s, "\n  %s: %s", Printable(e.Location), Printable(e.Message))
		if len(e.Value) > 0 && len(e.Value) < 200 {
			fmt.Fprintf(&s, ", got %s", Printable(string(e.Value)))
		}
	}
	return s.String()
}

// Brief returns the text of an error without what differs between errors of the same
// kind, such as ports.
func Brief(err error) string {
	if r, ok := errors.AsType[*ProblemError](err); ok {
		return fmt.Sprintf("%d %s", r.Status, r.Code)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// controlSequences are the control sequences of terminals (ECMA-48), such as colors.
var controlSequences = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// Printable returns a text without the control sequences and characters of terminals.
func Printable(s string) string {
	if strings.Contains(s, "\x1b") {
		s = controlSequences.ReplaceAllString(s, "")
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return -1
	}, s)
}
