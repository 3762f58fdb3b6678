package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemaBase is where schemas seem to live, so that a relative reference leads
// nowhere.
const schemaBase = "coatcheck:///schemas"

// A compiler compiles schemas of one document (JSON Schema 2020-12), by their
// JSON pointers (RFC 6901) in it.
type compiler struct{ *jsonschema.Compiler }

// newCompiler returns a compiler that reads no file and opens no connection.
func newCompiler(document any) (*compiler, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("render schemas: %w", err)
	}
	read, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read schemas: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	c.UseLoader(noLoader{})
	for _, f := range formats {
		c.RegisterFormat(f)
	}
	if err := c.AddResource(schemaBase, read); err != nil {
		return nil, fmt.Errorf("read schemas: %w", err)
	}
	return &compiler{c}, nil
}

// at compiles the schema that the names lead to.
func (c *compiler) at(names ...string) (*jsonschema.Schema, error) {
	var pointer strings.Builder
	for _, name := range names {
		pointer.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name)))
	}
	return c.Compile(schemaBase + "#" + pointer.String())
}

type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not allowed")
}

// check returns what is wrong with a JSON text, which stands at the location: at
// most maxMistakes of it, in the order of the locations. The error says why it
// is no JSON text.
func check(schema *jsonschema.Schema, text []byte, at string) ([]ProblemError, error) {
	value, mistakes, err := readJSON(text, at)
	if err != nil {
		return nil, err
	}
	mistakes = append(mistakes, checkValue(schema, value, at, mistakes)...)
	return mistakes[:min(len(mistakes), maxMistakes)], nil
}

// checkValue returns what is wrong with a value besides what is known already.
func checkValue(schema *jsonschema.Schema, value any, at string, known []ProblemError) []ProblemError {
	leaveOut(schema, value)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(value))
	if !ok {
		return nil
	}
	d := description{root: value, at: at}
	d.add(invalid)
	mistakes := slices.DeleteFunc(d.mistakes, func(m ProblemError) bool {
		// What can't be taken has another value in its place.
		return slices.ContainsFunc(known, func(k ProblemError) bool { return k.Location == m.Location })
	})
	slices.SortFunc(mistakes, func(a, b ProblemError) int {
		return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
	})
	return slices.CompactFunc(mistakes, func(a, b ProblemError) bool { return a.Location == b.Location && a.Message == b.Message })
}

// leaveOut takes members that are null and need not be there out of a value: to
// Go's decoder, and to most who write JSON, that is the same.
func leaveOut(schema *jsonschema.Schema, value any) {
	for schema != nil && schema.Ref != nil {
		schema = schema.Ref
	}
	if schema == nil {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			property := schema.Properties[name]
			if property == nil {
				property, _ = schema.AdditionalProperties.(*jsonschema.Schema)
			} else if member == nil && !slices.Contains(schema.Required, name) {
				delete(value, name)
			}
			leaveOut(property, member)
		}
	case []any:
		for _, item := range value {
			leaveOut(schema.Items2020, item)
		}
	}
}

// A description makes a flat list of the tree of what is wrong.
type description struct {
	root     any
	at       string
	mistakes []ProblemError
}

func (d *description) note(path []string, message string) {
	location, value := locate(d.root, d.at, path)
	d.mistakes = append(d.mistakes, ProblemError{Location: location, Message: message, Value: brief(value)})
}

func (d *description) add(e *jsonschema.ValidationError) {
	path := e.InstanceLocation
	below := func(name string) []string { return append(slices.Clone(path), name) }
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		// When another rule fails, known properties are taken for unevaluated ones.
		causes := slices.DeleteFunc(slices.Clone(e.Causes), unevaluated)
		if len(causes) == 0 {
			causes = e.Causes
		}
		for _, cause := range causes {
			d.add(cause)
		}
	case *kind.AnyOf, *kind.OneOf:
		// The form whose type fits is the one that was meant.
		meant := slices.DeleteFunc(slices.Clone(e.Causes), func(c *jsonschema.ValidationError) bool {
			_, other := c.ErrorKind.(*kind.Type)
			return other && len(c.InstanceLocation) == len(path)
		})
		if len(meant) == 1 {
			d.add(meant[0])
			return
		}
		d.note(path, "expected one of the allowed forms")
	case *kind.Required:
		for _, name := range k.Missing {
			d.note(below(name), "this is required")
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			d.note(below(name), fmt.Sprintf("this is required when %s is given", clipped(k.Prop)))
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			d.note(below(name), unexpected)
		}
	case *kind.PropertyNames: // its location may be a sibling's
		d.note(nil, fmt.Sprintf("unexpected property name %q", clipped(k.Property)))
	default:
		d.note(path, sentence(k))
	}
}

// unexpected is what is said of a property that there is not.
const unexpected = "unexpected property"

func unevaluated(e *jsonschema.ValidationError) bool {
	return strings.HasSuffix(e.SchemaURL, "/unevaluatedProperties") || strings.HasSuffix(e.SchemaURL, "/unevaluatedItems")
}

// locate returns the location of a path in a value that stands at another, and
// what is there.
func locate(value any, at string, path []string) (location string, found any) {
	for _, name := range path {
		switch v := value.(type) {
		case []any:
			at += "[" + name + "]"
			value = nil
			if i, err := strconv.Atoi(name); err == nil && i < len(v) {
				value = v[i]
			}
		case map[string]any:
			at += "." + clipped(name)
			value = v[name]
		default:
			at += "." + clipped(name)
			value = nil
		}
	}
	return at, value
}

// brief returns a value that is short enough to be repeated, or nil.
func brief(value any) any {
	switch v := value.(type) {
	case string:
		if len(v) <= 100 {
			return v
		}
	case json.Number:
		if _, err := v.Float64(); err == nil && len(v) <= 100 { // else readers may not be able to read it
			return v
		}
	case bool:
		return v
	}
	return nil
}
