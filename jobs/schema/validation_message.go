package schema

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// typeNouns are the names of JSON Schema types and formats in error messages.
var typeNouns = map[string]string{
	"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false",
	"array": "a list", "object": "an object", "null": "null",
	"date-time": "a time such as " + TimeExample, "date": "a date such as 2026-01-31",
	"time": "a time of day such as 12:00:00", "duration": "a duration such as 90s, 15m or 24h",
	"email": "an email address",
	"uri":   "a URL such as https://example.com/", "uri-reference": "a URL or a path", "hostname": "a host name",
	"int32": "a whole number of at most 64 bits, without point or exponent",
	"int64": "a whole number of at most 64 bits, without point or exponent",
	"ip":    "an IP address", "idn-email": "an email address",
	"date-time-http": "a time such as Sat, 31 Jan 2026 12:00:00 GMT",
	"ipv4":           "an IPv4 address", "ipv6": "an IPv6 address", "uuid": "a UUID", "regex": "a regular expression",
}

// validationMessage returns the message for a validation error, which describes
// the expected value.
func validationMessage(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "expected " + joinOr(nullLast(k.Want), func(s string) string { return typeNouns[s] }) + gotType(k)
	case *kind.Enum:
		return "expected " + joinOr(k.Want, jsonText)
	case *kind.Const:
		return "expected " + jsonText(k.Want)
	case *kind.Format:
		if noun := typeNouns[k.Want]; noun != "" {
			return "expected " + noun
		}
		return "expected the format " + k.Want
	case *kind.Minimum:
		return "expected at least " + decimal(k.Want)
	case *kind.Maximum:
		return "expected at most " + decimal(k.Want)
	case *kind.ExclusiveMinimum:
		return "expected more than " + decimal(k.Want)
	case *kind.ExclusiveMaximum:
		return "expected less than " + decimal(k.Want)
	case *kind.MultipleOf:
		return "expected a multiple of " + decimal(k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("expected at least %s, not %d", countNoun(k.Want, "character"), k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("expected at most %s, not %d", countNoun(k.Want, "character"), k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("expected at least %s, not %d", countNoun(k.Want, "item"), k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("expected at most %s, not %d", countNoun(k.Want, "item"), k.Got)
	case *kind.MinProperties:
		return fmt.Sprintf("expected at least %s, not %d", countNoun(k.Want, "member"), k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("expected at most %s, not %d", countNoun(k.Want, "member"), k.Got)
	case *kind.Pattern:
		return "expected a text that matches " + k.Want
	case *kind.UniqueItems:
		return fmt.Sprintf("expected no item twice: items %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.ContentEncoding:
		return "expected a text in " + k.Want
	case *kind.FalseSchema, *kind.Not:
		return "this is not allowed here"
	}
	return strings.TrimSpace("expected what the schema allows: " + strings.Join(k.KeywordPath(), " "))
}

func nullLast(types []string) []string {
	return slices.SortedStableFunc(slices.Values(types),
		func(a, b string) int { return cmp.Compare(strings.Count(a, "null"), strings.Count(b, "null")) })
}

// gotType returns the part of a message that names the actual type. It is empty
// for a fractional number where an integer is expected.
func gotType(k *kind.Type) string {
	if k.Got == "number" && slices.Contains(k.Want, "integer") {
		return ""
	}
	return ", not " + typeNouns[k.Got]
}

// joinOr lists the alternatives in a message, up to a maximum number.
func joinOr[T any](list []T, format func(T) string) string {
	const maxListed = 20
	var words []string
	for _, v := range list[:min(len(list), maxListed)] {
		words = append(words, format(v))
	}
	last := len(words) - 1
	switch {
	case len(list) > maxListed:
		return strings.Join(words, ", ") + " or others"
	case last > 0:
		return strings.Join(words[:last], ", ") + " or " + words[last]
	}
	return strings.Join(words, "")
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return Truncate(string(b))
}

// countNoun returns a number with a noun, such as "1 item" or "2 items".
func countNoun(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// decimal returns a number in decimal notation, without an exponent.
func decimal(r *big.Rat) string {
	digits, _ := r.FloatPrec()
	return r.FloatString(digits)
}
