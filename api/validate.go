package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
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
	renameUniqueItems(read)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	c.UseLoader(noLoader{})
	for _, f := range formats {
		c.RegisterFormat(f)
	}
	if err := addUniqueItems(c); err != nil {
		return nil, err
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

// check returns the mistakes in a JSON text located at at, at most maxMistakes,
// sorted by location. The error says why the text is not valid JSON, or is the
// context's.
func check(ctx context.Context, schema *jsonschema.Schema, text []byte, at string) ([]ProblemError, error) {
	d, err := readJSON(ctx, text, at)
	if err != nil {
		return nil, err
	}
	more, err := d.validate(ctx, schema, nil)
	return append(d.mistakes, more...), err
}

// validate returns the mistakes that are not yet known, up to maxMistakes in
// all. Mistakes that excuse reports true for are ignored.
func (d *document) validate(ctx context.Context, schema *jsonschema.Schema, ignore func(path []string, k jsonschema.ErrorKind) bool) ([]ProblemError, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	remaining := maxMistakes - len(d.mistakes)
	if remaining <= 0 {
		return nil, nil
	}
	dropNulls(schema, d.root)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(d.root))
	if !ok {
		return nil, nil
	}
	collector := mistakeCollector{document: d, ignore: ignore, remaining: remaining, seen: make(map[ProblemError]bool)}
	collector.add(ctx, invalid)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	slices.SortFunc(collector.found, func(a, b ProblemError) int {
		return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
	})
	return collector.found, nil
}

// leaveOut takes members that are null and need not be there out of a value: to
// Go's decoder, and to most who write JSON, that is the same.
func dropNulls(schema *jsonschema.Schema, value any) {
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
			dropNulls(property, member)
		}
	case []any:
		for _, item := range value {
			dropNulls(schema.Items2020, item)
		}
	}
}

// A description flattens the tree of validation errors into a list of at most
// room mistakes.
type mistakeCollector struct {
	*document
	ignore       func(path []string, k jsonschema.ErrorKind) bool // nil for nothing
	remaining    int
	examined     int  // how many errors were examined
	disconnected bool // whether the caller has disconnected
	found        []ProblemError
	seen         map[ProblemError]bool // without values
	path         []string              // buffer for the path of a member
}

// over reports whether to stop: the list is full, or the caller is gone.
func (d *mistakeCollector) done(ctx context.Context) bool {
	d.examined++
	d.disconnected = d.disconnected || d.examined%checkInterval == 0 && ctx.Err() != nil
	return d.disconnected || len(d.found) >= d.remaining
}

func (d *mistakeCollector) record(path []string, k jsonschema.ErrorKind, message string) {
	// What can't be taken has another value in its place.
	if len(d.found) >= d.remaining || d.reported.has(path) || d.ignore != nil && d.ignore(path, k) {
		return
	}
	where, value := locate(d.root, d.at, path)
	mistake := ProblemError{Location: where, Message: message}
	if !d.seen[mistake] {
		d.seen[mistake] = true
		mistake.Value = shortValue(value)
		d.found = append(d.found, mistake)
	}
}

// noteMembers records the same mistake for several members of a value.
func (d *mistakeCollector) recordMembers(ctx context.Context, path, names []string, k jsonschema.ErrorKind, message string) {
	for _, name := range names {
		if d.done(ctx) {
			return
		}
		d.path = append(append(d.path[:0], path...), name)
		d.record(d.path, k, message)
	}
}

func (d *mistakeCollector) add(ctx context.Context, e *jsonschema.ValidationError) {
	if d.done(ctx) {
		return
	}
	path := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		// When another rule fails, known properties are taken for unevaluated ones.
		causes := slices.DeleteFunc(slices.Clone(e.Causes), unevaluated)
		if len(causes) == 0 {
			causes = e.Causes
		}
		for _, cause := range causes {
			d.add(ctx, cause)
		}
	case *kind.AnyOf, *kind.OneOf:
		// The form whose type fits is the one that was meant.
		meant := slices.DeleteFunc(slices.Clone(e.Causes), func(c *jsonschema.ValidationError) bool {
			_, other := c.ErrorKind.(*kind.Type)
			return other && len(c.InstanceLocation) == len(path)
		})
		if len(meant) == 1 {
			d.add(ctx, meant[0])
			return
		}
		d.record(path, k, "expected one of the allowed forms")
	case *kind.Required:
		d.recordMembers(ctx, path, k.Missing, k, "this is required")
	case *kind.DependentRequired:
		d.recordMembers(ctx, path, k.Missing, k, fmt.Sprintf("this is required when %s is given", truncate(k.Prop)))
	case *kind.AdditionalProperties:
		d.recordMembers(ctx, path, k.Properties, k, unexpectedMessage)
	case *kind.PropertyNames: // its location may be a sibling's
		d.record(nil, k, fmt.Sprintf("unexpected property name %q", truncate(k.Property)))
	default:
		d.record(path, k, validationMessage(k))
	}
}

// unexpected is what is said of a property that there is not.
const unexpectedMessage = "unexpected property"

func unevaluated(e *jsonschema.ValidationError) bool {
	return strings.HasSuffix(e.SchemaURL, "/unevaluatedProperties") || strings.HasSuffix(e.SchemaURL, "/unevaluatedItems")
}

// brief returns a value that is short enough to be repeated, or nil.
func shortValue(value any) any {
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
