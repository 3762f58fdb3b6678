package schema

import (
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"go.yaml.in/yaml/v3"

	"coatcheck/jobs"
)

// declare takes over the schemas that a service declares as JSON.
func (v *Validator) declare(s *jobs.Service) (err error) {
	if v.inputs[s.Name], err = declaredSchema(s.InputSchema); err != nil {
		return fmt.Errorf("input schema: %w", err)
	}
	if v.outputs[s.Name], err = declaredSchema(s.OutputSchema); err != nil {
		return fmt.Errorf("output schema: %w", err)
	}
	return nil
}

// declaredSchema returns a JSON Schema as huma's type, which keeps the keywords that it
// does not know as extensions.
func declaredSchema(text json.RawMessage) (*huma.Schema, error) {
	schema := new(huma.Schema)
	if err := yaml.Unmarshal(text, schema); err != nil { // JSON is YAML, and the type has tags for that only
		return nil, err
	}
	return schema, nil
}
