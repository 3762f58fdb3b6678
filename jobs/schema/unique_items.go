package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// uniqueKeyword replaces uniqueItems in compiled schemas. The library's own
// check compares all items with the same hash. It is easy to construct lists of
// strings with equal hashes, so its cost can be quadratic.
const uniqueKeyword = "x-coatcheck-unique-items"

const uniqueVocabulary = "coatcheck:///unique-items"

// uniqueItems checks that no two items of a list are equal, at a cost linear in
// the size of the list.
type uniqueItems struct{}

// addUniqueItems registers uniqueKeyword with the compiler.
func addUniqueItems(c *jsonschema.Compiler) error {
	forms := jsonschema.NewCompiler()
	if err := forms.AddResource(uniqueVocabulary, true); err != nil {
		return fmt.Errorf("add vocabulary: %w", err)
	}
	form, err := forms.Compile(uniqueVocabulary)
	if err != nil {
		return fmt.Errorf("add vocabulary: %w", err)
	}
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: uniqueVocabulary, Schema: form,
		Compile: func(_ *jsonschema.CompilerContext, schema map[string]any) (jsonschema.SchemaExt, error) {
			if schema[uniqueKeyword] == true {
				return uniqueItems{}, nil
			}
			return nil, nil //nolint:nilnil // a schema without the keyword
		},
	})
	c.AssertVocabs()
	return nil
}

// renameUniqueItems replaces uniqueItems with uniqueKeyword in all schemas of a
// document.
func renameUniqueItems(document any) {
	switch document := document.(type) {
	case []any:
		for _, item := range document {
			renameUniqueItems(item)
		}
	case map[string]any:
		if document["uniqueItems"] == true {
			delete(document, "uniqueItems")
			document[uniqueKeyword] = true
		}
		for name, member := range document {
			if name != "enum" && name != "const" { // values, not schemas
				renameUniqueItems(member)
			}
		}
	}
}

// Validate implements [jsonschema.SchemaExt].
func (uniqueItems) Validate(ctx *jsonschema.ValidatorContext, v any) {
	list, _ := v.([]any)
	if len(list) < 2 {
		return
	}
	first := make(map[string]int, len(list))
	for i, item := range list {
		key := string(appendCanonical(nil, item))
		if j, ok := first[key]; ok {
			ctx.AddError(&kind.UniqueItems{Duplicates: [2]int{j, i}})
			return
		}
		first[key] = i
	}
}

// appendCanonical appends an encoding of a value that is the same for equal
// values only. Each part has its length as a prefix.
func appendCanonical(b []byte, value any) []byte {
	sized := func(kind byte, text string) []byte {
		return append(append(strconv.AppendInt(append(b, kind), int64(len(text)), 10), ':'), text...)
	}
	switch value := value.(type) {
	case string:
		return sized('s', value)
	case json.Number:
		return sized('n', canonicalNumber(string(value)))
	case []any:
		b = sized('a', strconv.Itoa(len(value)))
		for _, item := range value {
			b = appendCanonical(b, item)
		}
		return b
	case map[string]any:
		b = sized('o', strconv.Itoa(len(value)))
		for _, name := range slices.Sorted(maps.Keys(value)) {
			b = appendCanonical(appendCanonical(b, name), value[name])
		}
		return b
	default: // true, false or null
		return fmt.Append(append(b, 'c'), value)
	}
}

// canonicalNumber returns the same text for all spellings of a number: its
// digits without leading or trailing zeros, and their exponent.
func canonicalNumber(number string) string {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(number), "e")
	exponent, _ := strconv.Atoi(exponentText) // 0 without an exponent; Read limits its range
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	integer, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(integer+fraction, "0")
	exponent -= len(fraction)
	trimmed := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(trimmed)
	switch {
	case trimmed == "":
		return "0"
	case negative:
		trimmed = "-" + trimmed
	}
	return trimmed + "e" + strconv.Itoa(exponent)
}
