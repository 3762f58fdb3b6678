package schema

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// FormatFile is the format of a string that stands for a file.
const FormatFile = "binary"

// IsFile reports whether a value of the schema is a file.
func IsFile(s *huma.Schema) bool {
	return s != nil && s.Type == huma.TypeString && s.Format == FormatFile
}

// Files returns the properties of the service's input that are files. The value is true for a list
// of files. The caller must not change the map.
func (v *Validator) Files(service string) map[string]bool { return v.files[service] }

func (v *Validator) findFiles(service string) map[string]bool {
	files := make(map[string]bool)
	input := v.Resolve(v.Input(service))
	if input == nil {
		return files
	}
	for name, property := range input.Properties {
		switch property = v.Resolve(property); {
		case IsFile(property):
			files[name] = false
		case property.Type == huma.TypeArray && IsFile(v.Resolve(property.Items)):
			files[name] = true
		}
	}
	return files
}

// FormValue converts a text from a form to JSON of the type in the schema. A text that is not of
// that type becomes a JSON string, so that the validator reports it.
func FormValue(s *huma.Schema, text string) json.RawMessage {
	if s != nil && s.Type == huma.TypeString {
		return quote(strings.ReplaceAll(text, "\r\n", "\n")) // forms send line breaks as CRLF
	}
	trimmed := bytes.TrimSpace([]byte(text))
	if !json.Valid(trimmed) || s != nil && len(s.Enum) > 0 && s.Type == "" && slices.Contains(s.Enum, any(string(trimmed))) {
		return quote(string(trimmed))
	}
	return trimmed
}

// quote returns a text as a JSON string.
func quote(text string) json.RawMessage {
	b, _ := json.Marshal(text) // marshaling a string cannot fail
	return b
}
