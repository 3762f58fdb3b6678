package spec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

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
	Default  json.RawMessage `json:"default"`
	required bool
}

// Schema reads a schema; nil stands for an empty object. Properties that it does not name
// are refused, unless it sets additionalProperties.
func (p *Parser) Schema(at string, node *yaml.Node) (s Schema) {
	if node == nil {
		node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	schema := make(map[string]any)
	if err := node.Decode(&schema); err != nil || node.Kind != yaml.MappingNode {
		p.Wrong(node, "%s: expected a JSON Schema such as {properties: {url: {type: string}}}", at)
		return s
	}
	if t := cmp.Or[any](schema["type"], "object"); t != "object" {
		p.Wrong(node, "%s: expected a schema of type object, got %v", at, t)
		return s
	}
	schema["type"] = "object"
	if _, ok := schema["additionalProperties"]; !ok {
		schema["additionalProperties"] = false
	}
	noteOrder(node, schema)
	text, err := json.Marshal(schema)
	if err == nil {
		err = checkSchema(text)
	}
	var known struct {
		Properties map[string]property `json:"properties"`
		Required   []string            `json:"required"`
	}
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil {
		p.Wrong(node, "%s: this is no JSON Schema that can be used: %s", at, err)
		return s
	}
	for name, property := range known.Properties {
		property.required = slices.Contains(known.Required, name)
		known.Properties[name] = property
	}
	return Schema{text, known.Properties}
}

// noteOrder notes the order of the properties, in which a form shows them.
func noteOrder(node *yaml.Node, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for pair := range slices.Chunk(node.Content, 2) {
		if pair[0].Value != "properties" {
			continue
		}
		for i, name := range target(pair[1]).Content {
			if property, ok := properties[name.Value].(map[string]any); ok && i%2 == 0 && property["x-order"] == nil {
				property["x-order"] = i / 2
			}
		}
	}
}

// checkSchema returns why a text is no JSON Schema (2020-12). References to other schemas
// are not supported.
func checkSchema(text json.RawMessage) error {
	if bytes.Contains(text, []byte(`"$ref":`)) || bytes.Contains(text, []byte(`"$dynamicRef":`)) {
		return errors.New("$ref is not supported: write the schema out")
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	const location = "coatcheck:///input"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(location, document); err != nil {
		return err
	}
	_, err = c.Compile(location)
	return err
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
			values[name] = p.Default
		}
	}
	return values, nil
}

// IsText reports whether a property is a text.
func (s *Schema) IsText(property string) bool { return s.properties[property].Type == "string" }
