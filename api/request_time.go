package api

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// timeExample is the example in error messages about invalid times.
const timeExample = "2026-01-31T12:00:00Z"

// errTime is the error for text that is not a valid time.
var errTime = errors.New("expected " + typeNouns["date-time"] + "; in a query, write the + of a time zone as %2B")

// parseTime parses a time in RFC 3339 format, where T and Z may be lower case.
func parseTime(text string) (at time.Time, err error) {
	if at.UnmarshalText([]byte(strings.ToUpper(text))) != nil {
		return at, errTime
	}
	return at, nil
}

// A requestTime is a time in a request. In a query, it accepts a space instead
// of the + of a time zone, because form decoding turns + into a space.
type requestTime struct{ time.Time }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *requestTime) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if i := len(s) - len(" 00:00"); i > 0 && s[i] == ' ' && strings.ContainsAny(s[:i], "Tt") {
		s = s[:i] + "+" + s[i+1:]
	}
	m.Time, err = parseTime(s)
	return err
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (m *requestTime) UnmarshalJSON(text []byte) error {
	return m.UnmarshalText([]byte(strings.Trim(string(text), `"`)))
}

// Schema implements [huma.SchemaProvider]. The schema has no format because
// huma would check it before UnmarshalText, and more strictly.
func (*requestTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{timeExample}}
}

// describeTimes adds the date-time format to time parameters in the OpenAPI
// document.
func describeTimes(op *huma.Operation) {
	for _, p := range op.Parameters {
		if slices.Contains(p.Schema.Examples, any(timeExample)) {
			described := *p.Schema
			described.Format, p.Schema = "date-time", &described
		}
	}
}
