package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Schemas are the schemas of a document by name, as references name them.
type Schemas map[string]*huma.Schema

// SchemasOf returns the schemas of a document.
func SchemasOf(document *huma.OpenAPI) Schemas { return document.Components.Schemas.Map() }

// Name returns the name of the schema that a schema refers to; "" if it refers to none.
func Name(s *huma.Schema) string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

// Resolve returns the schema that a schema refers to, or the schema itself.
func (all Schemas) Resolve(s *huma.Schema) *huma.Schema {
	for s != nil && s.Ref != "" {
		s = all[Name(s)]
	}
	return s
}

// Request returns an example of a request body as JSON. It has the required properties, and
// those of their optional properties that have examples. A body without required properties
// gets those that have an example or a default.
func (all Schemas) Request(s *huma.Schema) (json.RawMessage, error) {
	e := exampler{schemas: all, request: true}
	body := all.Resolve(s)
	if body == nil || len(body.Examples) > 0 || body.Type != huma.TypeObject {
		return marshal(e.value(s))
	}
	object := make(map[string]any)
	for name, p := range body.Properties {
		known := all.Resolve(p)
		optional := len(body.Required) == 0 && (len(known.Examples) > 0 || known.Default != nil)
		if optional || slices.Contains(body.Required, name) {
			object[name] = e.value(p)
		}
	}
	return marshal(object)
}

// Response returns an example of a response body as JSON, with all properties.
func (all Schemas) Response(s *huma.Schema) (json.RawMessage, error) {
	e := exampler{schemas: all}
	return marshal(e.value(s))
}

func marshal(v any) (json.RawMessage, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("render example: %w", err)
	}
	return text, nil
}

// An exampler makes examples.
type exampler struct {
	schemas Schemas
	request bool
	chain   []string // the schemas that the current value is inside of
}

// value returns an example of a schema.
func (e *exampler) value(s *huma.Schema) any {
	if s.Ref != "" {
		name := Name(s)
		if slices.Contains(e.chain, name) || e.schemas[name] == nil {
			return nil
		}
		e.chain = append(e.chain, name)
		defer func() { e.chain = e.chain[:len(e.chain)-1] }()
		return e.value(e.schemas[name])
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AllOf) > 0:
		return e.merged(s)
	case len(s.AnyOf) > 0:
		return e.value(s.AnyOf[0])
	case len(s.OneOf) > 0:
		return e.value(s.OneOf[0])
	case s.Properties != nil || s.Type == huma.TypeObject:
		return e.object(s)
	case s.Type == huma.TypeArray:
		return e.array(s)
	case s.Type == huma.TypeString:
		return text(s)
	case s.Type == huma.TypeInteger, s.Type == huma.TypeNumber:
		return number(s)
	case s.Type == huma.TypeBoolean:
		return true
	default:
		return map[string]any{} // any value
	}
}

// merged returns the properties of all objects of an allOf. The later ones win.
func (e *exampler) merged(s *huma.Schema) any {
	object := make(map[string]any)
	for _, part := range s.AllOf {
		text, err := json.Marshal(e.value(part))
		if err != nil {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(text, &fields) != nil {
			return e.value(part) // no object
		}
		for name, value := range fields {
			object[name] = value
		}
	}
	return object
}

func (e *exampler) object(s *huma.Schema) any {
	object := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := e.schemas.Resolve(s.Properties[name])
		if p == nil || e.request && !slices.Contains(s.Required, name) && len(p.Examples) == 0 {
			continue
		}
		object[name] = e.value(s.Properties[name])
	}
	return object
}

func (e *exampler) array(s *huma.Schema) any {
	n := 1
	if e.request {
		n = 0
	}
	if s.MinItems != nil {
		n = max(n, *s.MinItems)
	}
	items := []any{}
	for range min(n, 10) {
		if s.Items != nil {
			items = append(items, e.value(s.Items))
		}
	}
	return items
}

// text returns an example of a string.
func text(s *huma.Schema) any {
	known := map[string]string{
		"date-time": "2026-01-31T12:00:00Z", "date": "2026-01-31", "time": "12:00:00Z", "uri": "https://example.com/",
		"uri-reference": "/path", "email": "ada@example.com", "uuid": "0b57a4e0-1d3c-4f6e-9a51-6c1f0a8f2e11",
		"binary": "https://client.example/file", // files in JSON are URLs
		"ipv4":   "192.0.2.1", "ipv6": "2001:db8::1", "hostname": "example.com", "duration": "PT1H",
	}[s.Format]
	if known != "" {
		return known
	}
	example := "text"
	if s.MinLength != nil && len(example) < *s.MinLength {
		example = strings.Repeat("x", min(*s.MinLength, 1000))
	}
	if s.MaxLength != nil && len(example) > *s.MaxLength {
		example = example[:*s.MaxLength]
	}
	return example
}

// number returns an example of a number: 1, or the nearest one that is valid.
func number(s *huma.Schema) any {
	n := 1.0
	if s.Minimum != nil {
		n = max(n, *s.Minimum)
	}
	if s.ExclusiveMinimum != nil && n <= *s.ExclusiveMinimum {
		n = *s.ExclusiveMinimum + 1
	}
	if s.Maximum != nil {
		n = min(n, *s.Maximum)
	}
	if s.ExclusiveMaximum != nil && n >= *s.ExclusiveMaximum {
		n = *s.ExclusiveMaximum - 1
	}
	if s.MultipleOf != nil {
		n = math.Ceil(n / *s.MultipleOf) * *s.MultipleOf
	}
	return n
}
