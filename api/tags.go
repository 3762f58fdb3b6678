package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"coatcheck/jobs"

	"github.com/danielgtaylor/huma/v2"
)

// limits are the tags that limit what a field may be, with the types of JSON
// that they can be said of; those of a list's items stand at the list.
var limits = map[string][]string{
	"minimum": ofNumber, "maximum": ofNumber, "exclusiveMinimum": ofNumber, "exclusiveMaximum": ofNumber, "multipleOf": ofNumber,
	"minLength": {huma.TypeString}, "maxLength": {huma.TypeString}, "pattern": {huma.TypeString},
	"minItems": {huma.TypeArray}, "maxItems": {huma.TypeArray}, "uniqueItems": {huma.TypeArray},
	"minProperties": {huma.TypeObject}, "maxProperties": {huma.TypeObject},
}

var (
	ofNumber = []string{huma.TypeNumber, huma.TypeInteger}
	// otherTags say something else to the schema.
	otherTags = []string{"doc", "example", "default", "enum", "format", "nullable", "title", "const", "deprecated", "readOnly", "writeOnly", "hidden", "encoding", "patternDescription", "timeFormat"}
	tagKey    = regexp.MustCompile(`(\w+):"`)
)

// A tagChecker finds tags that can't be honored, which would be limits in name
// only.
type tagChecker struct {
	*Validator
	seen map[reflect.Type]bool
	errs []error
}

// checkTags returns an error for each tag of the service's input and output
// that can't be honored.
func (v *Validator) checkTags(s *jobs.Service) error {
	c := tagChecker{Validator: v, seen: make(map[reflect.Type]bool)}
	c.check("input", s.Input())
	c.check("output", s.Output())
	return errors.Join(c.errs...)
}

func (c *tagChecker) check(at string, t reflect.Type) {
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}, t.Kind()) {
		t = t.Elem()
	}
	schema := c.resolve(c.schemas.Schema(t, true, ""))
	if t.Kind() != reflect.Struct || c.seen[t] || schema == nil || schema.Type != huma.TypeObject {
		return
	}
	c.seen[t] = true
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		property := schema.Properties[name]
		if property == nil {
			continue // embedded, or not shown
		}
		c.field(at+"."+name, f.Tag, property)
		c.check(at+"."+name, f.Type)
	}
}

// field checks the tags of a field whose schema is p.
func (c *tagChecker) field(at string, tag reflect.StructTag, p *huma.Schema) {
	wrong := func(format string, args ...any) { c.errs = append(c.errs, fmt.Errorf(at+": "+format, args...)) }
	types := []string{c.resolve(p).Type}
	if p.Type == huma.TypeArray {
		types = append(types, c.resolve(p.Items).Type)
	}
	for _, m := range tagKey.FindAllStringSubmatch(string(tag), -1) {
		key := m[1]
		allowed, known := limits[key]
		switch {
		case known && !slices.ContainsFunc(types, func(t string) bool { return slices.Contains(allowed, t) }):
			wrong("the tag %s is for a field of type %s, and this is %s", key, strings.Join(allowed, " or "), types[0])
		case !known && !slices.Contains(otherTags, key):
			for _, meant := range slices.Concat(slices.Sorted(maps.Keys(limits)), otherTags) {
				if strings.EqualFold(meant, key) || len(key) >= 3 && strings.HasPrefix(strings.ToLower(meant), strings.ToLower(key)) {
					wrong("there is no tag %s; %s may be meant", key, meant)
					break
				}
			}
		}
	}
	if p.Default != nil {
		c.fits(at, "default", p, p.Default)
	}
	for _, example := range p.Examples {
		c.fits(at, "example", p, example)
	}
}

// fits checks that a value in a tag is one that callers may send.
func (c *tagChecker) fits(at, tag string, p *huma.Schema, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s is no JSON: %w", at, tag, err))
		return
	}
	read, mistakes, err := readJSON(text, at)
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s: %w", at, tag, err))
		return
	}
	for _, m := range append(mistakes, c.Validator.check(p, read, at)...) {
		c.errs = append(c.errs, fmt.Errorf("%s: the %s is not allowed: %s", m.Location, tag, m.Message))
	}
}

func (v *Validator) resolve(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return v.schemas.SchemaFromRef(s.Ref)
	}
	return s
}
