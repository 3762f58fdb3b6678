package pages

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// example returns an example of the submission that the form creates, as JSON: the entered values,
// and examples of required values that are missing. It omits values that equal their defaults, and
// replaces passwords.
func (f *form) example() []byte {
	e := *f
	e.json = false
	if f.json || f.values == nil {
		e.fillDefaults()
	}
	return spaced(e.body(nil, true))
}

// exampleOf returns an example of a value as JSON, from the examples, defaults and types in the
// schema.
func (f *form) exampleOf(s *huma.Schema, depth int) json.RawMessage {
	var value any
	switch {
	case s == nil || depth > maxDepth:
	case len(s.Examples) > 0:
		value = s.Examples[0]
	case s.Default != nil:
		value = s.Default
	case len(s.Enum) > 0:
		value = s.Enum[0]
	case s.Minimum != nil:
		value = *s.Minimum
	case s.Type == huma.TypeString && formatExamples[s.Format] != "":
		value = formatExamples[s.Format]
	case isA(s, huma.TypeObject):
		var members [][]byte
		for _, name := range f.validator.PropertyNames(s) {
			if slices.Contains(s.Required, name) {
				value := f.exampleOf(f.validator.Resolve(s.Properties[name]), depth+1)
				members = append(members, slices.Concat(jsonString(name), []byte(":"), value))
			}
		}
		return jsonObject(members)
	case isA(s, huma.TypeArray):
		if s.MinItems == nil || *s.MinItems == 0 {
			return []byte("[]")
		}
		return slices.Concat([]byte("["), f.exampleOf(f.validator.Resolve(s.Items), depth+1), []byte("]"))
	default:
		value = map[string]any{huma.TypeString: "text", huma.TypeBoolean: true, huma.TypeInteger: 1, huma.TypeNumber: 1}[s.Type]
	}
	b, err := json.Marshal(value)
	if err != nil {
		return []byte("null")
	}
	return b
}

// formatExamples are texts of the formats.
var formatExamples = map[string]string{
	"uri": "https://example.com/", "email": "ada@example.com", "date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z",
	"time": "12:00:00Z", "uuid": "123e4567-e89b-12d3-a456-426614174000", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
}

// isDefault reports whether a value is the default of its schema.
func isDefault(s *huma.Schema, value []byte) bool {
	if s == nil || s.Default == nil {
		return false
	}
	text, err := json.Marshal(s.Default)
	return err == nil && bytes.Equal(text, value)
}

// spaced returns JSON with a space after each colon and comma, for people. Invalid JSON is returned
// as it is.
func spaced(b []byte) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, b) != nil {
		return b
	}
	out := make([]byte, 0, compact.Len()*5/4)
	quoted, escaped := false, false
	for _, c := range compact.Bytes() {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ':' || c == ','):
			out = append(out, ' ')
		}
	}
	return out
}
