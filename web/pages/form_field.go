package pages

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

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

// fields returns the fields of the input, sorted by rank.
func (f *form) fields() []web.Field {
	names := slices.SortedFunc(maps.Keys(f.schema.Properties), func(x, y string) int {
		return cmp.Or(f.rank(x)-f.rank(y), strings.Compare(x, y))
	})
	var fields []web.Field
	for _, name := range names {
		fields = append(fields, f.field(name, f.property(name)))
	}
	return fields
}

// rank sorts required properties first, then by x-order.
func (f *form) rank(name string) int {
	rank := 1000
	switch order := f.property(name).Extensions["x-order"].(type) {
	case float64:
		rank = int(order)
	case int: // of a declared schema
		rank = order
	}
	if !slices.Contains(f.schema.Required, name) {
		rank += 10_000
	}
	return rank
}

func (f *form) property(name string) *huma.Schema {
	p := f.schema.Properties[name]
	if p.Ref != "" {
		return f.resolve(p.Ref)
	}
	return p
}

// field returns the field for a property.
func (f *form) field(name string, p *huma.Schema) web.Field {
	field := web.Field{
		Name: inputPrefix + name, ID: "input-" + name,
		Label: cmp.Or(p.Title, title(strings.ReplaceAll(name, "_", " "))), Help: p.Description,
		Required: slices.Contains(f.schema.Required, name), Value: fieldText(p.Default),
		Errors: f.errors[inputPrefix+name],
	}
	if len(p.Examples) > 0 {
		field.Placeholder = fieldText(p.Examples[0])
	}
	switch {
	case f.values != nil:
		field.Value = f.values.Get(field.Name)
	case field.Required && field.Value == "":
		field.Value = field.Placeholder // so that a new user only has to press Run
	}
	if p.Minimum != nil {
		field.Min = strconv.FormatFloat(*p.Minimum, 'f', -1, 64)
	}
	if p.Maximum != nil {
		field.Max = strconv.FormatFloat(*p.Maximum, 'f', -1, 64)
	}
	if p.MaxLength != nil {
		field.MaxLength = *p.MaxLength
	}
	list, isFile := f.files[name]
	switch {
	case isFile:
		field.Kind, field.Value, field.Multiple = "file", "", list
	case len(p.Enum) > 0 || p.Type == huma.TypeBoolean:
		field.Kind = "select"
		if !field.Required {
			field.Options = append(field.Options, "")
		}
		for _, e := range p.Enum {
			field.Options = append(field.Options, fieldText(e))
		}
		if p.Type == huma.TypeBoolean {
			field.Options = append(field.Options, "false", "true")
		}
	case p.Type == huma.TypeInteger:
		field.Kind, field.Step = "number", "1"
	case p.Type == huma.TypeNumber:
		field.Kind, field.Step = "number", "any"
	case p.Type == huma.TypeString && (field.MaxLength > 200 || p.Format == "textarea"):
		field.Kind = "textarea"
	case p.Type == huma.TypeString:
		field.Kind = cmp.Or(map[string]string{
			"uri": "url", "email": "email", "date": "date", "password": "password",
		}[p.Format], "text")
	default:
		field.Kind = "json"
		field.Help = strings.TrimSpace(field.Help + " As JSON.")
	}
	return field
}

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

// example returns an example input, from the examples, defaults and types in
// the schema.
func (f *form) example() string {
	var b strings.Builder
	b.WriteString("{")
	for _, field := range f.fields() {
		p := f.property(strings.TrimPrefix(field.Name, inputPrefix))
		var value any
		switch {
		case field.Kind == "file":
			continue
		case len(p.Examples) > 0:
			value = p.Examples[0]
		case !field.Required:
			continue
		case p.Default != nil:
			value = p.Default
		case len(p.Enum) > 0:
			value = p.Enum[0]
		default:
			value = map[string]any{
				huma.TypeString: "text", huma.TypeBoolean: true, huma.TypeInteger: 1, huma.TypeNumber: 1,
				huma.TypeArray: []any{}, huma.TypeObject: map[string]any{},
			}[p.Type]
			if p.Minimum != nil {
				value = *p.Minimum
			}
		}
		text, err := json.Marshal(value)
		if err != nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		b.Write(jsonString(strings.TrimPrefix(field.Name, inputPrefix)))
		b.WriteString(": ")
		b.Write(text)
	}
	return b.String() + "}"
}
