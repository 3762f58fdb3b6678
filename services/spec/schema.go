package spec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// A Schema is the JSON Schema (2020-12) of an input, an object.
type Schema struct {
	// JSON is the schema.
	JSON       json.RawMessage
	properties map[string]property
}

// A property is a property of the object, as far as placeholders need it.
type property struct {
	Type     any             `json:"type"`
	Format   string          `json:"format"`
	Default  json.RawMessage `json:"default"`
	Items    *property       `json:"items"`
	required bool
}

// Schema reads a schema; nil stands for an empty object. Properties that it does not name
// are refused, unless it sets additionalProperties.
func (p *Parser) Schema(at string, node *yaml.Node) (s Schema) {
	if node == nil {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	read, err := value(node, 0)
	schema, ok := read.(map[string]any)
	if err == nil && !ok {
		err = errors.New("expected a JSON Schema such as {properties: {url: {type: string}}}")
	}
	if err == nil {
		s, err = newSchema(node, schema)
	}
	if err != nil {
		p.Wrong(node, "%s: this is no JSON Schema that can be used: %s", at, err)
	}
	return s
}

func newSchema(node *yaml.Node, schema map[string]any) (s Schema, err error) {
	if t := cmp.Or[any](schema["type"], "object"); t != "object" {
		return s, fmt.Errorf("expected type object, got %v", t)
	}
	schema["type"] = "object"
	if _, ok := schema["additionalProperties"]; !ok {
		schema["additionalProperties"] = false
	}
	if err := normalize(schema, "input"); err != nil {
		return s, err
	}
	noteOrder(node, schema)
	text, err := json.Marshal(schema)
	if err != nil {
		return s, err
	}
	var known struct {
		Properties map[string]property `json:"properties"`
		Required   []string            `json:"required"`
	}
	if err := check(text); err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &known); err != nil {
		return s, err
	}
	for _, name := range known.Required {
		property, ok := known.Properties[name]
		if !ok && schema["additionalProperties"] == false {
			return s, fmt.Errorf("required names %q, which is not among the properties", name)
		}
		if ok {
			property.required = true
			known.Properties[name] = property
		}
	}
	return Schema{text, known.Properties}, nil
}

// normalize rewrites what is allowed but not supported further on, and refuses the rest.
func normalize(schema map[string]any, at string) error {
	delete(schema, "$id")
	delete(schema, "$schema")
	for _, keyword := range []string{"$ref", "$dynamicRef"} {
		if _, ok := schema[keyword].(string); ok {
			return fmt.Errorf("%s.%s is not supported: write the schema out", at, keyword)
		}
	}
	if _, ok := schema["contentMediaType"]; ok && schema["type"] == "string" && schema["contentEncoding"] == nil && schema["format"] == nil {
		schema["format"] = formatFile
	}
	if _, ok := schema["type"].([]any); ok {
		return fmt.Errorf("%s.type: a list of types is not supported: name one type, or use oneOf", at)
	}
	if schema["default"] == nil {
		delete(schema, "default")
	}
	for _, keyword := range []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"} {
		if v, ok := schema[keyword]; ok {
			if n, ok := v.(int); !ok || n < 0 {
				return fmt.Errorf("%s.%s: expected a whole number", at, keyword)
			}
		}
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		for name := range properties {
			if name == "" {
				return fmt.Errorf("%s.properties: a property has an empty name", at)
			}
			if err := normalizeMember(properties, name, at+"."+name); err != nil {
				return err
			}
		}
	}
	for _, keyword := range []string{"items", "not"} {
		if _, ok := schema[keyword]; ok {
			if err := normalizeMember(schema, keyword, at+"."+keyword); err != nil {
				return err
			}
		}
	}
	if additional, ok := schema["additionalProperties"].(map[string]any); ok {
		if err := normalize(additional, at+".additionalProperties"); err != nil {
			return err
		}
	}
	for _, keyword := range []string{"oneOf", "anyOf", "allOf"} {
		list, _ := schema[keyword].([]any)
		for i, item := range list {
			member := map[string]any{keyword: item}
			if err := normalizeMember(member, keyword, fmt.Sprintf("%s.%s[%d]", at, keyword, i)); err != nil {
				return err
			}
			list[i] = member[keyword]
		}
	}
	return nil
}

// normalizeMember normalizes a schema in a schema. true allows everything and false nothing.
func normalizeMember(parent map[string]any, name, at string) error {
	switch schema := parent[name].(type) {
	case map[string]any:
		return normalize(schema, at)
	case bool:
		parent[name] = map[string]any{}
		if !schema {
			parent[name] = map[string]any{"not": map[string]any{}}
		}
		return nil
	default:
		return fmt.Errorf("%s: expected a schema such as {type: string}", at)
	}
}

// noteOrder notes the order of the properties, in which a form shows them, in a schema and those in
// it.
func noteOrder(node *yaml.Node, schema map[string]any) {
	if node.Kind != yaml.MappingNode {
		return
	}
	properties, _ := schema["properties"].(map[string]any)
	members, _ := pairs(node, 0) // it was read before
	for _, m := range members {
		switch m.name.Value {
		case "items":
			if items, ok := schema["items"].(map[string]any); ok {
				noteOrder(m.value, items)
			}
		case "properties":
			if m.value.Kind != yaml.MappingNode {
				continue
			}
			names, _ := pairs(m.value, 0)
			for i, name := range names {
				property, ok := properties[name.name.Value].(map[string]any)
				if !ok {
					continue
				}
				if property["x-order"] == nil {
					property["x-order"] = i
				}
				noteOrder(name.value, property)
			}
		}
	}
}

// noLoader keeps schemas from reading files and URLs.
type noLoader struct{}

// Load implements [jsonschema.URLLoader].
func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed")
}

// check returns why a text is no JSON Schema (2020-12), or why a default does not fit into
// the schema of its property.
func check(text json.RawMessage) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	const location = "coatcheck:///input"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	if err := c.AddResource(location, document); err != nil {
		return err
	}
	compiled, err := c.Compile(location)
	if err != nil {
		return flatten(err)
	}
	for name, property := range compiled.Properties {
		if property.Default == nil {
			continue
		}
		if err := property.Validate(*property.Default); err != nil {
			return fmt.Errorf("the default of %s does not fit its schema: %w", name, flatten(err))
		}
	}
	return nil
}

// flatten returns the reason of an error in one line.
func flatten(err error) error {
	lines := slices.DeleteFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	return errors.New(strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "- "))
}

// Values are the properties of an input, as JSON.
type Values map[string]json.RawMessage

// Values returns the properties of an input, with the schema's defaults.
func (s *Schema) Values(input []byte) (Values, error) {
	values := make(Values)
	if err := json.Unmarshal(input, &values); err != nil {
		return nil, fmt.Errorf("the input is no JSON object: %w", err)
	}
	for name, p := range s.properties {
		if v := values[name]; len(p.Default) > 0 && (len(v) == 0 || string(v) == "null") {
			values[name] = bytes.Clone(p.Default)
		}
	}
	return values, nil
}

// IsText reports whether a property is a text.
func (s *Schema) IsText(property string) bool { return s.properties[property].Type == "string" }
