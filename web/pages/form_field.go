package pages

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/web"
)

// options are the fields for options of a submission, by their names in the
// API.
var options = []web.Field{
	{
		Name: "callback_url", Label: "Callback URL", Kind: "url", Placeholder: "https://client.example/hooks",
		Help: "Called when the job ends. Use the test receiver's URL to try it.",
	},
	{Name: "delay", Label: "Delay", Kind: "text", Placeholder: "5s", Help: "The job starts after this delay."},
	{
		Name: "max_attempts", Label: "Max attempts", Kind: "number", Min: "1", Max: "100", Step: "1",
		Help: "Maximum number of attempts.",
	},
	{
		Name: "timeout", Label: "Timeout", Kind: "text", Placeholder: "15m",
		Help: "Attempts that take longer are stopped.",
	},
	{
		Name: "priority", Label: "Priority", Kind: "select", Options: []string{"", "1", "2", "3", "4"},
		Help: "1 is the highest, 2 the default.",
	},
	{Name: "tags", Label: "Tags", Kind: "text", Placeholder: "web, test", Help: "For filtering, separated by commas."},
}

// numericOptions are the options that are numbers in JSON.
var numericOptions = []string{"max_attempts", "priority"}

// fields returns the fields of the input.
func (f *form) fields() []web.Field {
	b := &fieldBuilder{f, slices.Sorted(maps.Keys(f.values))}
	return b.members(f.schema, strings.TrimSuffix(inputPrefix, "."), 0)
}

// A fieldBuilder returns the fields of a form.
type fieldBuilder struct {
	*form
	names []string // of the values, sorted
}

// members returns the fields for the properties of an object.
func (b *fieldBuilder) members(s *huma.Schema, name string, depth int) []web.Field {
	var fields []web.Field
	for _, property := range b.validator.PropertyNames(s) {
		p := b.validator.Resolve(s.Properties[property])
		if p == nil {
			continue
		}
		field := web.Field{
			Name: name + "." + property, Required: slices.Contains(s.Required, property),
			Label: cmp.Or(p.Title, title(strings.ReplaceAll(property, "_", " "))),
		}
		if list, ok := b.files[property]; ok && depth == 0 {
			field.Kind, field.Multiple = "file", list
			field.Help = p.Description
			b.complete(&field)
		} else {
			b.add(&field, p, depth)
		}
		fields = append(fields, field)
	}
	return fields
}

// complete sets what all kinds of fields have.
func (b *fieldBuilder) complete(field *web.Field) {
	field.ID = strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) { // aria-describedby separates ids by spaces
			return '_'
		}
		return c
	}, strings.Replace(field.Name, ".", "-", 1))
	field.Value, field.Errors = b.values.Get(field.Name), b.errors[field.Name]
}

// add completes the field for a value of a schema.
func (b *fieldBuilder) add(field *web.Field, s *huma.Schema, depth int) {
	b.complete(field)
	field.Help = strings.TrimSpace(s.Description + " " + limits(s))
	if len(s.Examples) > 0 {
		field.Placeholder = fieldText(s.Examples[0])
	}
	kind := b.shapeOf(s, depth)
	if b.values.Has(field.Name) && kind != scalarShape {
		kind = jsonShape // for a value that the fields do not show
	}
	switch kind {
	case groupShape:
		field.Kind, field.Fields = "group", b.members(s, field.Name, depth+1)
	case listShape:
		field.Kind, field.Fields = "list", b.items(field, s, depth)
	case scalarShape:
		addScalar(field, s, depth)
	case jsonShape:
		field.Kind, field.Help = "json", strings.TrimSpace(field.Help+" As JSON.")
	}
}

// items returns the fields for the items of a list: those that were entered, and an empty one.
func (b *fieldBuilder) items(list *web.Field, s *huma.Schema, depth int) (fields []web.Field) {
	item := b.validator.Resolve(s.Items)
	entered := len(numbers(b.names, list.Name))
	count := entered + 1
	if b.values.Has("edit") && b.values.Get("edit") != list.Name { // another list gets an item
		count = max(1, entered)
	}
	if s.MinItems != nil {
		count = max(count, min(*s.MinItems, maxGroup))
	}
	if s.MaxItems != nil {
		list.Most = *s.MaxItems
		count = max(entered, min(count, *s.MaxItems))
	}
	for i := range count {
		field := web.Field{
			Name: list.Name + "[" + strconv.Itoa(i) + "]", Label: list.Label + " " + strconv.Itoa(i+1), Item: true,
		}
		b.add(&field, item, depth+1)
		fields = append(fields, field)
	}
	return fields
}

// isSwitch reports whether a boolean has only two states in the form: the third, not to be given, is
// the same as its default.
func isSwitch(s *huma.Schema, required bool) bool {
	return s != nil && s.Type == huma.TypeBoolean && len(s.Enum) == 0 && (required || s.Default != nil)
}

// addScalar completes a field for a string, a number or a boolean.
func addScalar(field *web.Field, s *huma.Schema, depth int) {
	if s.Minimum != nil {
		field.Min = number(*s.Minimum)
	}
	if s.Maximum != nil {
		field.Max = number(*s.Maximum)
	}
	if s.MaxLength != nil {
		field.MaxLength = *s.MaxLength
	}
	switch {
	case depth == 0 && isSwitch(s, field.Required):
		field.Kind = "switch"
	case len(s.Enum) > 0 || s.Type == huma.TypeBoolean:
		field.Kind = "select"
		if !field.Required || depth > 0 {
			field.Options = append(field.Options, "")
		}
		for _, e := range s.Enum {
			field.Options = append(field.Options, fieldText(e))
		}
		if s.Type == huma.TypeBoolean && len(s.Enum) == 0 {
			field.Options = append(field.Options, "false", "true")
		}
	case s.Type == huma.TypeInteger:
		field.Kind, field.Step = "number", "1"
	case s.Type == huma.TypeNumber:
		field.Kind, field.Step = "number", "any"
	case field.MaxLength > 200 || s.Format == "textarea" || strings.Contains(field.Value, "\n"):
		field.Kind = "textarea"
	default:
		field.Kind = cmp.Or(map[string]string{
			"uri": "url", "email": "email", "date": "date", "password": "password",
		}[s.Format], "text")
	}
}

// limits describes in a sentence each what the schema allows, and its default.
func limits(s *huma.Schema) string {
	var sentences []string
	say := func(format string, args ...any) { sentences = append(sentences, fmt.Sprintf(format, args...)) }
	switch low, high := s.Minimum, s.Maximum; {
	case low != nil && high != nil:
		say("From %s to %s.", number(*low), number(*high))
	case low != nil:
		say("At least %s.", number(*low))
	case high != nil:
		say("At most %s.", number(*high))
	}
	if s.ExclusiveMinimum != nil {
		say("More than %s.", number(*s.ExclusiveMinimum))
	}
	if s.ExclusiveMaximum != nil {
		say("Less than %s.", number(*s.ExclusiveMaximum))
	}
	if s.MaxLength != nil {
		say("At most %s.", plural(*s.MaxLength, "character"))
	}
	if s.MaxItems != nil {
		say("At most %s.", plural(*s.MaxItems, "item"))
	}
	if s.Pattern != "" {
		say("Must match %s.", cmp.Or(s.PatternDescription, s.Pattern))
	}
	if text := fieldText(s.Default); text != "" {
		say("Default: %s.", text)
	}
	return strings.Join(sentences, " ")
}

// plural returns a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}

// number returns a number in decimal notation.
func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// fieldText returns a value as the text of a field: strings unchanged, other
// values as JSON.
func fieldText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
