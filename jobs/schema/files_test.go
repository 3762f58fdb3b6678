package schema_test

import (
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs/schema"
)

// A choice in a form becomes the value of the enumeration that the form shows.
func TestFormValueOfEnum(t *testing.T) {
	s := &huma.Schema{Enum: []any{1, 2.5, "two", "3", true, "true"}}
	for text, want := range map[string]string{
		"1": "1", "2.5": "2.5", "two": `"two"`, "3": `"3"`, "true": `"true"`, "other": `"other"`,
	} {
		if got := string(schema.FormValue(s, text)); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
