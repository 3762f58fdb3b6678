package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Template is a text with placeholders for properties of an input: {{input.NAME}}. With twice as
// many braces, as in {{{{.Name}}}}, it is no placeholder but the text {{.Name}}.
type Template []part

// A part is a text, or a placeholder for a property.
type part struct{ text, property string }

var placeholder = regexp.MustCompile(`\{\{\{\{[^{}]*\}\}\}\}|\{\{[^{}]*\}\}`)

// ParseTemplate parses a text. Error: a placeholder that is not input.NAME, or names a
// property that is no text, number or boolean, or may be missing.
func ParseTemplate(text string, schema *Schema) (Template, error) {
	var t Template
	for text != "" {
		at := placeholder.FindStringIndex(text)
		if at == nil {
			at = []int{len(text), len(text)}
		}
		if at[0] > 0 {
			t = append(t, part{text: text[:at[0]]})
		}
		switch found := text[at[0]:at[1]]; {
		case found == "":
		case strings.HasPrefix(found, "{{{{"):
			t = append(t, part{text: found[2 : len(found)-2]})
		default:
			inside := strings.TrimSpace(strings.Trim(found, "{}"))
			name, ok := strings.CutPrefix(inside, "input.")
			if !ok {
				return nil, fmt.Errorf("{{%s}} is no placeholder: expected {{input.NAME}}, or {{{{%[1]s}}}} for the text itself", inside)
			}
			if err := schema.checkPlaceholder(name); err != nil {
				return nil, err
			}
			t = append(t, part{property: name})
		}
		text = text[at[1]:]
	}
	return t, nil
}

// checkPlaceholder returns why a property can't fill a placeholder.
func (s *Schema) checkPlaceholder(name string) error {
	p, ok := s.properties[name]
	switch {
	case !ok:
		return fmt.Errorf("{{input.%s}}: the schema under input has no property %q", name, name)
	case !slices.Contains([]any{"string", "number", "integer", "boolean"}, p.Type):
		return fmt.Errorf("{{input.%s}}: the type of property %q must be string, number, integer or boolean", name, name)
	case !p.required && len(p.Default) == 0:
		return fmt.Errorf("{{input.%s}}: property %q must be required, or have a default", name, name)
	}
	return nil
}

// First returns the property whose placeholder the template begins with; "" for none.
func (t Template) First() string {
	if len(t) == 0 {
		return ""
	}
	return t[0].property
}

// Constant returns the text of a template without placeholders.
func (t Template) Constant() (text string, ok bool) {
	if t.HasPlaceholder() {
		return "", false
	}
	text, err := t.Fill(nil, nil)
	return text, err == nil
}

// Names reports whether the template has a placeholder for a property.
func (t Template) Names(property string) bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.property == property })
}

// HasPlaceholder reports whether the template has one.
func (t Template) HasPlaceholder() bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.property != "" })
}

// Fill returns the text with the values of an input, each encoded by encode; nil for no
// encoding. Error: a value is missing or contains NUL.
func (t Template) Fill(values Values, encode func(value string, before string) string) (string, error) {
	var b strings.Builder
	for _, p := range t {
		text := p.text
		if p.property != "" {
			var err error
			if text, err = values.Text(p.property); err != nil {
				return "", err
			}
			if encode != nil {
				text = encode(text, b.String())
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// Text returns a value as a text: a number or a boolean as it is written.
func (v Values) Text(property string) (string, error) {
	value := bytes.TrimSpace(v[property])
	if len(value) == 0 {
		return "", fmt.Errorf("%s is missing", property)
	}
	if value[0] != '"' {
		return string(value), nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", fmt.Errorf("%s: %w", property, err)
	}
	if strings.ContainsRune(s, 0) {
		return "", errors.New(property + " must not contain NUL")
	}
	return s, nil
}
