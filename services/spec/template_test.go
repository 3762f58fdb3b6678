package spec

import (
	"encoding/json"
	"testing"
)

// Placeholders are filled, other braces are kept, and doubled ones stand for themselves.
func TestTemplate(t *testing.T) {
	schema := &Schema{properties: map[string]property{"x": {Type: "string", required: true}}}
	values := Values{"x": json.RawMessage(`"{{input.x}}"`)}
	for text, want := range map[string]string{
		"{{input.x}}":                    "{{input.x}}",
		"a{{ input.x }}b":                "a{{input.x}}b",
		"{{{{.State.Status}}}}":          "{{.State.Status}}",
		"{{{{input.x}}}}{{input.x}}":     "{{input.x}}{{input.x}}",
		`{"a":{"b":{"c":{{input.x}}}}}}`: `{"a":{"b":{"c":{{input.x}}}}}}`,
		"{{{{ {{ }} }}}}":                "",
		"{{ and }} and {{{{":             "",
		"{ {x} }":                        "{ {x} }",
		"{{":                             "{{",
		"{{{{":                           "{{{{",
	} {
		template, err := ParseTemplate(text, schema)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if got, err := template.Fill(values, nil); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	if _, err := ParseTemplate("{{.Name}}", schema); err == nil || err.Error() != "{{.Name}} is no placeholder: expected {{input.NAME}}, or {{{{.Name}}}} for the text itself" {
		t.Errorf("got %v", err)
	}
}
