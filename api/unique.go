package api

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

// uniqueKeyword is uniqueItems under a name that the library does not know. Its
// own check compares items whose hashes are equal, and lists of texts are easily
// made whose hashes are: its cost is the square of their number.
const uniqueKeyword = "x-coatcheck-unique-items"

const uniqueVocabulary = "coatcheck:///unique-items"

// uniqueItems checks that no item is in a list twice, at a cost that is linear
// in the size of the list.
type uniqueItems struct{}

// addUniqueItems makes the compiler use it.
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

// renameUniqueItems gives the keyword its other name in all schemas of a
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

// appendCanonical appends a text that is the same for equal values only. Every
// part of it says how long it is.
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

// canonicalNumber returns the same text for all ways to write a number: its
// digits without zeros at the ends, and their exponent.
func canonicalNumber(number string) string {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(number), "e")
	exponent, _ := strconv.Atoi(exponentText) // none is 0; what is out of range was refused
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	switch {
	case short == "":
		return "0"
	case negative:
		short = "-" + short
	}
	return short + "e" + strconv.Itoa(exponent)
}
