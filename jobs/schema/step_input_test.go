package schema

import (
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/services"
)

func TestPlaceholders(t *testing.T) {
	registry := new(jobs.Registry)
	services.Register(registry)
	v := newValidator(t, registry)
	for input, want := range map[string]string{
		`{"a":100,"b":{"$output":""}}`:                "",
		`{"$output":""}`:                              "",
		`{"a":{"$output":"/x/0"},"b":{"$output":""}}`: "",
		`{"a":{"$output":1},"b":2}`:                   "expected a number",
		`{"a":{"$output":"","x":1},"b":2}`:            "expected a number",
		`{"a":"x","b":{"$output":""}}`:                "expected a number",
		`{"b":{"$output":""}}`:                        "this is required",
		`{"a":1,"b":2,"c":{"$output":""}}`:            "unexpected property",
		// The name of a member can look like a location.
		`{"a":{"$output":""},"b":1,"a.$output":[{"$output":""}]}`: "unexpected property",
		`{"a":{"$output":""},"b":1,"a[0].$output":1}`:             "unexpected property",
		`{"a":{"$output":""},"b":1,"a/$output":{"$output":""}}`:   "unexpected property",
		`{"a":{"$output":""},"b":1,".$output":1}`:                 "unexpected property",
		`{"a":{"$output":""},"b":1,"$output":""}`:                 "unexpected property",
		`{"a":{"$output":{"$output":""}},"b":1}`:                  "expected a number",
		`[{"$output":""}]`:                                        "expected an object",
		`{"a":{"$output":"x"},"b":1}`:                             "expected a JSON pointer",
		`{"a":{"$output":"/~2"},"b":1}`:                           "expected a JSON pointer",
		`{"a":{"$output":"/a~"},"b":1}`:                           "expected a JSON pointer",
		`{"$output":"a/b"}`:                                       "expected a JSON pointer",
		`{"a":{"$output":"/a~0~1//b"},"b":{"$output":"/"}}`:       "",
	} {
		errs, err := v.CheckStep(t.Context(), "maths.add", []byte(input), "body.then[0].input")
		if err != nil || (len(errs) > 0) != (want != "") || want != "" && !strings.Contains(errs[0].Message, want) {
			t.Errorf("%s: %v, want %q", input, errs, want)
		}
	}
}

func newValidator(tb testing.TB, registry *jobs.Registry) *Validator {
	tb.Helper()
	v, err := NewValidator(registry)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
