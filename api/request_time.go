package api

import (
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs/schema"
)

// A requestTime is a time in a request. In a query, it accepts a space instead
// of the + of a time zone, because form decoding turns + into a space.
type requestTime struct{ time.Time }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *requestTime) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if i := len(s) - len(" 00:00"); i > 0 && s[i] == ' ' && strings.ContainsAny(s[:i], "Tt") {
		s = s[:i] + "+" + s[i+1:]
	}
	m.Time, err = schema.ParseTime(s)
	return err
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (m *requestTime) UnmarshalJSON(text []byte) error {
	return m.UnmarshalText([]byte(strings.Trim(string(text), `"`)))
}

// Schema implements [huma.SchemaProvider]. The schema has no format because
// huma would check it before UnmarshalText, and more strictly.
func (*requestTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{schema.TimeExample}}
}

// describeTimes adds the date-time format to time parameters in the OpenAPI
// document.
func describeTimes(op *huma.Operation) {
	for _, p := range op.Parameters {
		if slices.Contains(p.Schema.Examples, any(schema.TimeExample)) {
			described := *p.Schema
			described.Format, p.Schema = "date-time", &described
		}
	}
}
