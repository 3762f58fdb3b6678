package reference

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A row is a parameter or property in a table.
type row struct {
	Name     string // a path, such as "input.seconds"
	Depth    int
	In       string // place of a parameter
	Type     string
	Schema   string // the schema that the type links to; "" for none
	Required bool
	Limits   string
	Meaning  string
}

// maxDepth limits the depth of nested properties; deeper ones are a link to their schema.
const maxDepth = 4

// rows returns the properties of a schema, with those of nested objects behind their own.
func (all Schemas) rows(s *huma.Schema, depth int) []row { return all.nested("", s, depth, nil) }

func (all Schemas) nested(prefix string, s *huma.Schema, depth int, chain []string) (rows []row) {
	if name := Name(s); name != "" {
		chain = append(slices.Clip(chain), name)
	}
	resolved := all.Resolve(s)
	if resolved == nil || depth > maxDepth {
		return nil
	}
	for _, part := range resolved.AllOf {
		rows = append(rows, all.nested(prefix, part, depth, chain)...)
	}
	names := slices.SortedFunc(maps.Keys(resolved.Properties), func(x, y string) int {
		return cmp.Or(boolOrder(resolved.Required, x)-boolOrder(resolved.Required, y), strings.Compare(x, y))
	})
	for _, name := range names {
		p := resolved.Properties[name]
		rows = append(rows, all.row(prefix+name, p, slices.Contains(resolved.Required, name), depth))
		inner, path := p, prefix+name+"."
		if known := all.Resolve(p); known != nil && known.Type == huma.TypeArray && known.Items != nil {
			inner, path = known.Items, prefix+name+"[]."
		}
		if !slices.Contains(chain, Name(inner)) && Name(inner) != "Job" {
			rows = append(rows, all.nested(path, inner, depth+1, chain)...)
		}
	}
	return rows
}

// boolOrder returns 0 for required properties and 1 for others.
func boolOrder(required []string, name string) int {
	if slices.Contains(required, name) {
		return 0
	}
	return 1
}

// row returns a row without a place.
func (all Schemas) row(name string, s *huma.Schema, required bool, depth int) row {
	resolved := cmp.Or(all.Resolve(s), &huma.Schema{})
	r := row{
		Name: name, Depth: depth, Required: required, Type: all.typeOf(s),
		Meaning: cmp.Or(s.Description, resolved.Description),
	}
	if known := all[Name(s)]; known != nil && (known.Properties != nil || known.AllOf != nil) {
		r.Schema = Name(s)
	}
	values := resolved
	if resolved.Type == huma.TypeArray && resolved.Items != nil {
		values = cmp.Or(all.Resolve(resolved.Items), resolved)
	}
	limits := append(limitsOf(resolved), enumOf(values)...)
	if len(values.Examples) > 0 && values.Properties == nil {
		if text, err := marshal(values.Examples[0]); err == nil && len(text) < 80 {
			limits = append(limits, "such as "+string(text))
		}
	}
	if resolved.Default != nil {
		if text, err := marshal(resolved.Default); err == nil {
			limits = append(limits, "default "+string(text))
		}
	}
	r.Limits = strings.Join(limits, "; ")
	return r
}

// typeOf returns the type of a schema in words.
func (all Schemas) typeOf(s *huma.Schema) string {
	resolved := all.Resolve(s)
	if resolved == nil {
		return "any"
	}
	name := resolved.Type
	switch {
	case name == huma.TypeString && resolved.Format == "binary":
		name = "file"
	case name == huma.TypeArray && resolved.Items != nil:
		name = "list of " + all.typeOf(resolved.Items)
	case resolved.Properties != nil || resolved.AllOf != nil:
		name = huma.TypeObject
	case len(resolved.AnyOf) > 0:
		name = all.choice(resolved.AnyOf)
	case len(resolved.OneOf) > 0:
		name = all.choice(resolved.OneOf)
	case (resolved.Format == "int64" || resolved.Format == "double" || resolved.Format == "int32") && name != "":
	case resolved.Format != "" && name != "":
		name += " (" + resolved.Format + ")"
	}
	if resolved.Nullable {
		name += " or null"
	}
	return cmp.Or(name, "any")
}

func (all Schemas) choice(of []*huma.Schema) string {
	var names []string
	for _, s := range of {
		names = append(names, cmp.Or(Name(s), all.typeOf(s)))
	}
	return strings.Join(names, " or ")
}

// enumOf returns the values that a schema allows.
func enumOf(s *huma.Schema) []string {
	var values []string
	for _, v := range s.Enum {
		values = append(values, fmt.Sprint(v))
	}
	if len(values) == 0 {
		return nil
	}
	return []string{strings.Join(values, ", ")}
}

// limitsOf returns the limits of a schema in words.
func limitsOf(s *huma.Schema) (limits []string) {
	number := func(words string, n *float64) {
		if n != nil {
			limits = append(limits, fmt.Sprintf("%s %g", words, *n))
		}
	}
	count := func(words, unit string, n *int) {
		if n != nil {
			limits = append(limits, fmt.Sprintf("%s %d %s", words, *n, unit))
		}
	}
	number("at least", s.Minimum)
	number("more than", s.ExclusiveMinimum)
	number("at most", s.Maximum)
	number("less than", s.ExclusiveMaximum)
	number("a multiple of", s.MultipleOf)
	count("at least", "characters", s.MinLength)
	count("at most", "characters", s.MaxLength)
	count("at least", "items", s.MinItems)
	count("at most", "items", s.MaxItems)
	if s.Pattern != "" {
		limits = append(limits, "matches "+s.Pattern)
	}
	return limits
}
