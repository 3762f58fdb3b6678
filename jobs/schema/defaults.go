package schema

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Fill returns the input of a service with the defaults of its schema in place of absent properties, also
// in nested objects and the items of lists. An optional property that is null counts as absent, as it does
// for the validation.
func (v *Validator) Fill(service string, input []byte) []byte {
	schema := v.compiled[service]
	if schema == nil || !v.defaults[service] {
		return input
	}
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil || !fillDefaults(schema, value) {
		return input
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(value) != nil {
		return input
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// fillDefaults adds defaults to a value and reports whether there were any.
func fillDefaults(schema *jsonschema.Schema, value any) (filled bool) {
	if schema = target(schema); schema == nil {
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		for name, property := range schema.Properties {
			member, present := value[name]
			absent := !present || member == nil && !slices.Contains(schema.Required, name)
			if absent {
				if text := defaultOf(property); text != nil {
					value[name], filled = cloned(*text), true
				}
			}
		}
		for name, member := range value {
			property := schema.Properties[name]
			if property == nil {
				property, _ = schema.AdditionalProperties.(*jsonschema.Schema)
			}
			filled = fillDefaults(property, member) || filled
		}
	case []any:
		for _, item := range value {
			filled = fillDefaults(schema.Items2020, item) || filled
		}
	}
	return filled
}

// target returns the schema that a schema refers to, or the schema itself.
func target(schema *jsonschema.Schema) *jsonschema.Schema {
	for schema != nil && schema.Ref != nil {
		schema = schema.Ref
	}
	return schema
}

// defaultOf returns the default of a property, which may be beside its reference or behind it.
func defaultOf(property *jsonschema.Schema) *any {
	for ; property != nil; property = property.Ref {
		if property.Default != nil {
			return property.Default
		}
	}
	return nil
}

// cloned returns a copy of a JSON value that may be changed.
func cloned(value any) any {
	switch value := value.(type) {
	case map[string]any:
		c := maps.Clone(value)
		for name, member := range c {
			c[name] = cloned(member)
		}
		return c
	case []any:
		c := slices.Clone(value)
		for i, item := range c {
			c[i] = cloned(item)
		}
		return c
	default:
		return value
	}
}

// hasDefaults reports whether any value of a schema may get a default.
func hasDefaults(schema *jsonschema.Schema, seen map[*jsonschema.Schema]bool) bool {
	if schema = target(schema); schema == nil || seen[schema] {
		return false
	}
	seen[schema] = true
	for _, property := range schema.Properties {
		if defaultOf(property) != nil || hasDefaults(property, seen) {
			return true
		}
	}
	more, _ := schema.AdditionalProperties.(*jsonschema.Schema)
	return hasDefaults(more, seen) || hasDefaults(schema.Items2020, seen)
}
