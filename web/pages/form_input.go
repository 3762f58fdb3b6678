package pages

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs/schema"
)

// A shape is how a form shows a value.
type shape int

const (
	scalarShape shape = iota // one field
	groupShape               // the fields of an object
	listShape                // the items of an array
	jsonShape                // one field for JSON: other objects and arrays, and values of any type
)

const (
	// maxDepth is how deep groups and lists are nested in a form.
	maxDepth = 3
	// maxGroup is the maximum number of fields in a group, and of items in a list that is filled in.
	maxGroup = 30
)

// shapeOf returns how the form shows values of a schema.
func (f *form) shapeOf(s *huma.Schema, depth int) shape {
	switch {
	case s == nil || s.OneOf != nil || s.AnyOf != nil || s.AllOf != nil:
		return jsonShape
	case len(s.Enum) > 0 || s.Type == huma.TypeBoolean || s.Type == huma.TypeInteger || s.Type == huma.TypeNumber || s.Type == huma.TypeString:
		return scalarShape
	case depth >= maxDepth:
		return jsonShape
	case isA(s, huma.TypeObject) && len(s.Properties) > 0 && len(s.Properties) <= maxGroup && !open(s):
		return groupShape
	case isA(s, huma.TypeArray) && s.Items != nil:
		if item := f.shapeOf(f.validator.Resolve(s.Items), depth+1); item == scalarShape || item == groupShape {
			return listShape
		}
	}
	return jsonShape
}

// open reports whether an object is declared to have other members than its properties, which a form
// has no fields for.
func open(s *huma.Schema) bool {
	return s.AdditionalProperties != nil && s.AdditionalProperties != false
}

// isA reports whether the values of a schema are meant to be of a type. Declared schemas may leave
// the type to be understood.
func isA(s *huma.Schema, kind string) bool {
	switch {
	case s.Type != "":
		return s.Type == kind
	case kind == huma.TypeObject:
		return s.Properties != nil
	default:
		return s.Items != nil && s.Properties == nil
	}
}

// A formReader reads the input from the entered values. It also rewrites the names of the values,
// so that the items of lists are numbered without gaps, like in the input.
type formReader struct {
	form  *form
	refs  map[string][]string // what stands for the files in the input
	names []string            // sorted
	out   url.Values
	// example makes the reader return an example, see [form.example].
	example bool
}

// input returns the entered input as a JSON object, in which refs stand for the files.
func (f *form) input(refs map[string][]string, example bool) []byte {
	r := &formReader{form: f, refs: refs, names: slices.Sorted(maps.Keys(f.values)), out: make(url.Values), example: example}
	for name, values := range f.values {
		if !strings.HasPrefix(name, inputPrefix) {
			r.out[name] = values
		}
	}
	root := strings.TrimSuffix(inputPrefix, ".")
	members := r.members(f.schema, root, root, 0)
	f.values = r.out
	return jsonObject(members)
}

// members returns the members of an object that were entered. Their fields have names that begin
// with from, which are to begin with name.
func (r *formReader) members(s *huma.Schema, from, name string, depth int) (members [][]byte) {
	present := depth == 0 // whether the object is, so that what it requires is missing
	for _, property := range r.form.validator.PropertyNames(s) {
		of := r.form.validator.Resolve(s.Properties[property])
		value := r.value(of, from+"."+property, name+"."+property, depth)
		present = present || value != nil
		required := slices.Contains(s.Required, property)
		switch refs := r.refs[property]; {
		case depth == 0 && len(refs) > 0:
			value = r.form.files.value(property, refs)
		case value != nil && r.example && isDefault(of, value):
			value = nil
		case value != nil:
		case depth == 0 && isSwitch(of, required):
			value = []byte("false") // browsers do not send an unchecked box
		case required && r.example && (depth > 0 || !r.form.files.has(property)):
			value = r.form.exampleOf(of, depth+1)
		case required && r.form.shapeOf(of, depth) == groupShape:
			value = []byte("{}")
		case required && r.form.shapeOf(of, depth) == listShape && (depth > 0 || !r.form.files.has(property)):
			value = []byte("[]")
		}
		if value != nil {
			members = append(members, slices.Concat(jsonString(property), []byte(":"), value))
		}
	}
	if !present {
		return nil
	}
	return members
}

// value returns the value that was entered; nil for none.
func (r *formReader) value(s *huma.Schema, from, name string, depth int) json.RawMessage {
	if r.form.values.Has(from) {
		text := r.form.values.Get(from)
		r.out.Set(name, text)
		switch {
		case text == "":
			return nil
		case r.example && s != nil && s.Format == "password":
			return jsonString("…")
		}
		return schema.FormValue(s, text)
	}
	switch r.form.shapeOf(s, depth) {
	case groupShape:
		if members := r.members(s, from, name, depth+1); len(members) > 0 {
			return jsonObject(members)
		}
	case listShape:
		items := r.items(s, from, name, depth)
		if len(items) > 0 {
			return slices.Concat([]byte("["), bytes.Join(items, []byte(",")), []byte("]"))
		}
	case scalarShape, jsonShape:
	}
	return nil
}

// items returns the items of a list that were entered, in the order of their numbers.
func (r *formReader) items(s *huma.Schema, from, name string, depth int) (items [][]byte) {
	for _, n := range numbers(r.names, from) {
		item := name + "[" + strconv.Itoa(len(items)) + "]"
		if value := r.value(r.form.validator.Resolve(s.Items), from+"["+strconv.Itoa(n)+"]", item, depth+1); value != nil {
			items = append(items, value)
		}
	}
	return items
}

// numbers returns the numbers of the items of a list that have fields, in ascending order. names are
// the sorted names of all fields.
func numbers(names []string, list string) (all []int) {
	prefix := list + "["
	first, _ := slices.BinarySearch(names, prefix)
	for _, name := range names[first:] {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			break
		}
		digits, _, ok := strings.Cut(rest, "]")
		if n, err := strconv.Atoi(digits); ok && err == nil && n >= 0 && strconv.Itoa(n) == digits {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// jsonObject returns the JSON object with the members.
func jsonObject(members [][]byte) json.RawMessage {
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}"))
}

func jsonString(s string) json.RawMessage {
	b, _ := json.Marshal(s) // marshaling a string cannot fail
	return b
}

func jsonStrings(all []string) json.RawMessage {
	var items [][]byte
	for _, s := range all {
		items = append(items, jsonString(s))
	}
	return slices.Concat([]byte("["), bytes.Join(items, []byte(",")), []byte("]"))
}

// formFiles are the properties of the input that are files; true for lists.
type formFiles map[string]bool

func (files formFiles) has(property string) bool {
	_, ok := files[property]
	return ok
}

// value returns the value of a property for which refs stand.
func (files formFiles) value(property string, refs []string) json.RawMessage {
	if !files[property] {
		return jsonString(refs[0])
	}
	return jsonStrings(refs)
}
