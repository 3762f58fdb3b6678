package document

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Without returns the OpenAPI document without the hidden services and without the schemas that only
// they use. schemasOf has the schemas of each service.
func Without(full *huma.OpenAPI, hidden map[string]bool, schemasOf map[string][]any) (*huma.OpenAPI, error) {
	if len(hidden) == 0 {
		return full, nil
	}
	document, components := *full, *full.Components
	document.Paths = make(map[string]*huma.PathItem)
	var shown, removed []any // values that refer to schemas
	for p, item := range full.Paths {
		if service, ok := serviceOfPath(p); ok && hidden[service] {
			removed = append(removed, item)
			continue
		}
		document.Paths[p] = item
		shown = append(shown, item)
	}
	for service, schemas := range schemasOf {
		if hidden[service] {
			removed = append(removed, schemas...)
		} else {
			shown = append(shown, schemas...)
		}
	}
	schemas := full.Components.Schemas.Map()
	keep, err := referencedSchemas(schemas, shown)
	if err != nil {
		return nil, err
	}
	drop, err := referencedSchemas(schemas, removed)
	if err != nil {
		return nil, err
	}
	remaining := make(map[string]*huma.Schema)
	for name, schema := range schemas {
		if keep[name] || !drop[name] {
			remaining[name] = schema
		}
	}
	components.Schemas = &filteredRegistry{Registry: full.Components.Schemas, schemas: remaining}
	document.Components = &components
	return &document, nil
}

// serviceOfPath returns the service in a path, if any.
func serviceOfPath(p string) (string, bool) {
	rest, ok := strings.CutPrefix(p, "/v1/services/")
	if !ok || strings.HasPrefix(rest, "{") {
		return "", false
	}
	service, _, ok := strings.Cut(rest, "/")
	return service, ok
}

// referencedSchemas returns the names of the schemas that the values refer to,
// directly or through other schemas.
func referencedSchemas(schemas map[string]*huma.Schema, values []any) (map[string]bool, error) {
	found := make(map[string]bool)
	for len(values) > 0 {
		text, err := json.Marshal(values[0])
		if err != nil {
			return nil, fmt.Errorf("find schemas: %w", err)
		}
		values = values[1:]
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, fmt.Errorf("find schemas: %w", err)
		}
		for _, name := range refsIn(value, nil) {
			if schema := schemas[name]; schema != nil && !found[name] {
				found[name] = true
				values = append(values, schema)
			}
		}
	}
	return found, nil
}

// refsIn appends the names of the schemas that a JSON value refers to.
func refsIn(value any, names []string) []string {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if ref, ok := inner.(string); ok && key == "$ref" {
				names = append(names, path.Base(ref))
			}
			names = refsIn(inner, names)
		}
	case []any:
		for _, inner := range v {
			names = refsIn(inner, names)
		}
	}
	return names
}

// filteredRegistry is a registry with only some of the schemas of another one.
type filteredRegistry struct {
	huma.Registry
	schemas map[string]*huma.Schema
}

// Map implements [huma.Registry].
func (p *filteredRegistry) Map() map[string]*huma.Schema { return p.schemas }

// MarshalJSON implements [json.Marshaler].
func (p *filteredRegistry) MarshalJSON() ([]byte, error) { return json.Marshal(p.schemas) }
