package schema

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// PropertyNames returns the names of an object's properties in the order of their declaration: that
// of the fields of the Go struct, or of the configuration. Properties whose place is not known come
// last, by name.
func (v *Validator) PropertyNames(s *huma.Schema) []string {
	order := func(name string) int {
		if i := slices.Index(v.fields[s], name); i >= 0 {
			return i
		}
		if p := v.Resolve(s.Properties[name]); p != nil {
			switch order := p.Extensions["x-order"].(type) {
			case float64:
				return int(order)
			case int: // of a declared schema
				return order
			}
		}
		return len(s.Properties)
	}
	return slices.SortedFunc(maps.Keys(s.Properties), func(x, y string) int {
		return cmp.Or(cmp.Compare(order(x), order(y)), strings.Compare(x, y))
	})
}

// noteFields notes the order of the fields of a struct type, and of the structs in it, for their
// schemas.
func (v *Validator) noteFields(t reflect.Type, s *huma.Schema) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s = v.Resolve(s)
	switch {
	case s == nil:
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		v.noteFields(t.Elem(), s.Items)
	case t.Kind() == reflect.Struct && v.fields[s] == nil:
		v.fields[s] = []string{}
		for _, field := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name = cmp.Or(name, field.Name); s.Properties[name] != nil && !slices.Contains(v.fields[s], name) {
				v.fields[s] = append(v.fields[s], name)
				v.noteFields(field.Type, s.Properties[name])
			}
		}
	}
}
