package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		schema, text string
		want         []string // location: message
	}{
		{`{"type":"number","maximum":9007199254740992}`, `9007199254740993`, []string{"body: expected at most 9007199254740992"}},
		{`{"type":"number","maximum":9007199254740992}`, `9007199254740992`, nil},
		{`{"type":"number","multipleOf":0.1}`, `0.3`, nil},
		{`{"type":"number","exclusiveMinimum":0.1}`, `1e-1000`, []string{"body: expected more than 0.1"}},
		{`{"type":"integer","minimum":1}`, `1e1000001`, []string{"body: expected a number of at most 10000 digits and an exponent of at most 1000"}},
		{`{"type":"integer","format":"int64"}`, `18446744073709551616`, []string{"body: expected a whole number of at most 64 bits, without point or exponent"}},
		{`{"type":"integer","format":"int32"}`, `1.0`, []string{"body: expected a whole number of at most 64 bits, without point or exponent"}},
		{`{"type":"string","format":"duration"}`, `"PT5S"`, []string{"body: expected a duration such as 90s, 15m or 24h"}},
		{`{"type":"string","format":"json-pointer"}`, `"a"`, []string{"body: expected the format json-pointer"}},
		{`{"type":"string","format":"ip"}`, `"1.2.3"`, []string{"body: expected an IP address"}},
		{`{"type":"array","items":{"properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["b"]}}`, `[{"a":null,"b":null,"c":null}]`, []string{"body[0].b: expected a text, not null"}},
		{`{"type":"string","format":"date-time"}`, `"2026-12-31T23:59:60Z"`, []string{"body: expected a time such as 2026-01-31T12:00:00Z"}},
		{`{"type":"string","contentEncoding":"base64"}`, `"?"`, []string{"body: expected a text in base64"}},
		{`{"type":"string","minLength":1,"pattern":"^a"}`, `""`, []string{"body: expected a text that matches ^a", "body: expected at least 1 character, not 0"}},
		{`{"type":["string","null"]}`, `3`, []string{"body: expected a text or null, not a number"}},
		{`{"enum":["a",1,null]}`, `"b"`, []string{`body: expected "a", 1 or null`}},
		{`{"type":"array","items":{"type":"integer"},"maxItems":2,"uniqueItems":true}`, `[1,"2",1]`, []string{
			"body: expected at most 2 items, not 3", "body: expected no item twice: items 0 and 2 are equal", "body[1]: expected a whole number, not a text",
		}},
		{
			`{"type":"object","properties":{"a":{"type":"object","required":["0"]},"b":{"$ref":"#/components/b"}},"additionalProperties":false}`, `{"a":{},"b":"x","c":1}`,
			[]string{"body.a.0: this is required", "body.b: expected a number, not a text", "body.c: unexpected property"},
		},
		{`{"type":"object","propertyNames":{"maxLength":2}}`, `{"abc":1}`, []string{`body: unexpected property name "abc"`}},
		{`{"anyOf":[{"type":"number","minimum":3},{"type":"null"}]}`, `1`, []string{"body: expected at least 3"}},
		{`{"type":"string","maxLength":2}`, `"\u0000ab"`, []string{"body: expected text without NUL (\\u0000)"}},
		{`{"not":{}}`, `1`, []string{"body: this is not allowed here"}},
	} {
		c, err := newCompiler(map[string]any{"components": map[string]any{"b": map[string]any{"type": "number"}}, "schema/~": json.RawMessage(test.schema)})
		if err != nil {
			t.Fatal(err)
		}
		schema, err := c.At("schema/~")
		if err != nil {
			t.Fatalf("%s: %v", test.schema, err)
		}
		mistakes, err := Check(t.Context(), schema, []byte(test.text), "body")
		var got []string
		for _, m := range mistakes {
			got = append(got, m.Location+": "+m.Message)
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s of %s: %q, %v, want %q", test.text, test.schema, got, err, test.want)
		}
	}
}

// What is wrong with a body of a hundred thousand mistakes is said of the first
// hundred, and a schema that leads elsewhere is not followed.
func TestValidateLimits(t *testing.T) {
	t.Parallel()
	c, err := newCompiler(map[string]any{"list": json.RawMessage(`{"items":{"type":"string"}}`), "elsewhere": json.RawMessage(`{"$ref":"file:///etc/hostname"}`), "beside": json.RawMessage(`{"$ref":"other.json"}`)})
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.At("list")
	if err != nil {
		t.Fatal(err)
	}
	mistakes, err := Check(t.Context(), list, []byte("["+strings.Repeat("1,", 90_000)+"1]"), "body")
	if err != nil || len(mistakes) != MaxErrors {
		t.Errorf("%d mistakes, %v", len(mistakes), err)
	}
	for _, name := range []string{"elsewhere", "beside"} {
		if _, err := c.At(name); err == nil || !strings.Contains(fmt.Sprint(err), "references to other documents are not allowed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
