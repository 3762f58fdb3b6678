package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An argument is one argument of a program: texts and placeholders by turns.
type argument []part

// A part is a text, or a placeholder for a property of the input.
type part struct{ text, property string }

// A property is a property of the input schema that a placeholder may name.
type property struct {
	Type     any             `json:"type"`
	Default  json.RawMessage `json:"default"`
	required bool
}

var placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// parseArgument parses one argument. Error: a placeholder that is not input.NAME, or
// names a property that can't be a part of an argument.
func parseArgument(text string, properties map[string]property) (argument, error) {
	var a argument
	for text != "" {
		at := placeholder.FindStringIndex(text)
		if at == nil {
			at = []int{len(text), len(text)}
		}
		if at[0] > 0 {
			a = append(a, part{text: text[:at[0]]})
		}
		if at[1] > at[0] {
			inside := strings.TrimSpace(strings.Trim(text[at[0]:at[1]], "{}"))
			name, ok := strings.CutPrefix(inside, "input.")
			if !ok {
				return nil, fmt.Errorf("{{%s}} is no placeholder: expected {{input.NAME}}", inside)
			}
			if err := checkPlaceholder(name, properties); err != nil {
				return nil, err
			}
			a = append(a, part{property: name})
		}
		text = text[at[1]:]
	}
	return a, nil
}

// checkPlaceholder returns why a property can't be a part of an argument.
func checkPlaceholder(name string, properties map[string]property) error {
	p, ok := properties[name]
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

// values returns the input's properties, with the schema's defaults.
func (c *Command) values(input []byte) (map[string]json.RawMessage, error) {
	values := make(map[string]json.RawMessage)
	if err := json.Unmarshal(input, &values); err != nil {
		return nil, fmt.Errorf("the input is no JSON object: %w", err)
	}
	for name, p := range c.properties {
		if v := values[name]; len(p.Default) > 0 && (len(v) == 0 || string(v) == "null") {
			values[name] = p.Default
		}
	}
	return values, nil
}

// fill returns the arguments with the values of an input. Error: a value would be an
// option of the program.
func (c *Command) fill(values map[string]json.RawMessage) ([]string, error) {
	arguments := make([]string, len(c.arguments))
	for i, a := range c.arguments {
		text, err := a.fill(values)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(text, "-") && c.guarded(a) {
			return nil, fmt.Errorf("%s must not begin with -, or the program would take it for an option", a[0].property)
		}
		arguments[i] = text
	}
	return arguments, nil
}

// guarded reports whether a value at the beginning of an argument must not be an option:
// it is a text. A number is what the schema allows.
func (c *Command) guarded(a argument) bool {
	return !c.allowOptions && a[0].property != "" && c.properties[a[0].property].Type == "string"
}

// fill returns the argument with the values of an input.
func (a argument) fill(values map[string]json.RawMessage) (string, error) {
	var b strings.Builder
	for _, p := range a {
		if p.property == "" {
			b.WriteString(p.text)
			continue
		}
		v := bytes.TrimSpace(values[p.property])
		if len(v) == 0 {
			return "", fmt.Errorf("%s is missing", p.property)
		}
		if v[0] != '"' {
			b.Write(v) // a number or a boolean, as it is written
			continue
		}
		var s string
		if err := json.Unmarshal(v, &s); err != nil {
			return "", fmt.Errorf("%s: %w", p.property, err)
		}
		if strings.ContainsRune(s, 0) {
			return "", errors.New(p.property + " must not contain NUL")
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// hasPlaceholder reports whether any argument has one: then the input does not go to
// standard input.
func (c *Command) hasPlaceholder() bool {
	return slices.ContainsFunc(c.arguments, func(a argument) bool {
		return slices.ContainsFunc(a, func(p part) bool { return p.property != "" })
	})
}
