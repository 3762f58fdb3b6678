package command

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkSchema returns why a text is no JSON Schema (2020-12) for an input. References to
// other schemas are not supported.
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
