package schema

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"coatcheck/jobs"
)

// limitTags are the tags that limit the values of a field, with the JSON types
// that they apply to. The tags of a list's items are on the list's field.
var limitTags = map[string][]string{
	"minimum": numericTypes, "maximum": numericTypes, "exclusiveMinimum": numericTypes,
	"exclusiveMaximum": numericTypes, "multipleOf": numericTypes,
	"minLength": {huma.TypeString}, "maxLength": {huma.TypeString}, "pattern": {huma.TypeString},
	"minItems": {huma.TypeArray}, "maxItems": {huma.TypeArray}, "uniqueItems": {huma.TypeArray},
	"minProperties": {huma.TypeObject}, "maxProperties": {huma.TypeObject},
}

var (
	numericTypes = []string{huma.TypeNumber, huma.TypeInteger}
	// otherTags are the tags that affect the schema in other ways.
	otherTags = []string{
		"doc", "example", "default", "enum", "format", "nullable", "title", "const", "deprecated",
		"readOnly", "writeOnly", "hidden", "encoding", "timeFormat",
	}
	tagKey = regexp.MustCompile(`(\w+):"`)
)

// A tagChecker finds tags that have no effect. A limit in such a tag would
// never be enforced.
type tagChecker struct {
	*Validator
	compiler *Compiler
	seen     map[reflect.Type]bool
	errs     []error
}

// checkTags returns an error for each tag of the service's input and output
// that has no effect.
func (v *Validator) checkTags(compiler *Compiler, s *jobs.Service) error {
	if s.InputSchema != nil {
		return nil // it has no tags
	}
	c := tagChecker{Validator: v, compiler: compiler, seen: make(map[reflect.Type]bool)}
	c.check("input", s.Input(), v.inputs[s.Name], "inputs", s.Name)
	c.check("output", s.Output(), v.outputs[s.Name], "outputs", s.Name)
	return errors.Join(c.errs...)
}

// check checks the fields of a type, recursively. The names are the path to its
// schema.
func (c *tagChecker) check(at string, t reflect.Type, schema *huma.Schema, names ...string) {
	if schema != nil && schema.Ref != "" {
		names = []string{"components", "schemas", path.Base(schema.Ref)}
		schema = c.Resolve(schema)
	}
	switch {
	case schema == nil:
	case t.Kind() == reflect.Pointer:
		c.check(at, t.Elem(), schema, names...)
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		c.check(at, t.Elem(), schema.Items, append(slices.Clone(names), "items")...)
	case t.Kind() == reflect.Map:
		values, _ := schema.AdditionalProperties.(*huma.Schema)
		c.check(at, t.Elem(), values, append(slices.Clone(names), "additionalProperties")...)
	case t.Kind() == reflect.Struct && schema.Type == huma.TypeObject && !c.seen[t]:
		c.seen[t] = true
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			name = cmp.Or(name, f.Name)
			if property := schema.Properties[name]; property != nil { // no property: the field is embedded or hidden
				names := append(slices.Clone(names), "properties", name)
				c.checkField(at+"."+name, f.Tag, property, names...)
				c.check(at+"."+name, f.Type, property, names...)
			}
		}
	}
}

// checkField checks the tags of a field. Its schema is p, and the names are the
// path to it.
func (c *tagChecker) checkField(at string, tag reflect.StructTag, p *huma.Schema, names ...string) {
	addError := func(format string, args ...any) { c.errs = append(c.errs, fmt.Errorf(at+": "+format, args...)) }
	types := []string{c.Resolve(p).Type}
	if p.Type == huma.TypeArray {
		types = append(types, c.Resolve(p.Items).Type)
	}
	for _, m := range tagKey.FindAllStringSubmatch(string(tag), -1) {
		key := m[1]
		allowed, known := limitTags[key]
		switch {
		case key == "patternDescription":
			addError("the tag %s has no effect; use doc", key)
		case known && !slices.ContainsFunc(types, func(t string) bool { return slices.Contains(allowed, t) }):
			addError("the tag %s requires a field of type %s, not %s", key, strings.Join(allowed, " or "), types[0])
		case !known && !slices.Contains(otherTags, key):
			for _, similar := range slices.Concat(slices.Sorted(maps.Keys(limitTags)), otherTags) {
				if strings.EqualFold(similar, key) ||
					len(key) >= 3 && strings.HasPrefix(strings.ToLower(similar), strings.ToLower(key)) {
					addError("unknown tag %s; did you mean %s?", key, similar)
					break
				}
			}
		}
	}
	switch {
	case p.Type == huma.TypeString && p.Format != "" && !slices.Contains(textFormats, p.Format):
		addError("unknown format %s; expected one of %s", p.Format,
			strings.Join(slices.Sorted(slices.Values(textFormats)), ", "))
	case p.ReadOnly && strings.HasPrefix(at, "input."):
		addError("the tag readOnly is only allowed in outputs")
	}
	schema, err := c.compiler.At(names...)
	if err != nil {
		addError("%w", err)
		return
	}
	if p.Default != nil {
		c.checkValue(at, "default", schema, p.Default)
	}
	for _, example := range p.Examples {
		c.checkValue(at, "example", schema, example)
	}
}

// checkValue checks that a value in a tag is valid for the field.
func (c *tagChecker) checkValue(at, tag string, schema *jsonschema.Schema, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s is not valid JSON: %w", at, tag, err))
		return
	}
	fieldErrs, err := Check(context.Background(), schema, text, at)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s: %w", at, tag, err))
	}
	for _, m := range fieldErrs {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s is not allowed: %s", m.Location, tag, m.Message))
	}
}
