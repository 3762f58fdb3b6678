package schema

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

// schemaBase is the base URL of the schemas. No relative reference resolves to
// a real location.
const schemaBase = "coatcheck:///schemas"

// A Compiler compiles the schemas in one document (JSON Schema 2020-12), by
// their JSON pointers (RFC 6901).
type Compiler struct{ *jsonschema.Compiler }

// newCompiler returns a compiler that reads no files and opens no connections.
func newCompiler(document any) (*Compiler, error) {
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
	return &Compiler{c}, nil
}

// At compiles the schema at the path of names.
func (c *Compiler) At(names ...string) (*jsonschema.Schema, error) {
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

// Check validates a JSON text with the given location. It returns at most
// maxErrors validation errors, sorted by location. The error means that the
// text is not valid JSON or that the context is done.
func Check(ctx context.Context, schema *jsonschema.Schema, text []byte, at string) ([]ProblemError, error) {
	d, err := Read(ctx, text, at)
	if err != nil {
		return nil, err
	}
	more, err := d.validate(ctx, schema, nil)
	return append(d.errs, more...), err
}

// validate returns the validation errors that are not reported yet, so that
// there are at most maxErrors in total. It skips errors for which ignore
// returns true.
func (d *Document) validate(
	ctx context.Context, schema *jsonschema.Schema, ignore func(path []string, k jsonschema.ErrorKind) bool,
) ([]ProblemError, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	remaining := MaxErrors - len(d.errs)
	if remaining <= 0 {
		return nil, nil
	}
	dropNulls(schema, d.Root)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(d.Root))
	if !ok {
		return nil, nil
	}
	collector := errorCollector{Document: d, ignore: ignore, remaining: remaining, seen: make(map[ProblemError]bool)}
	collector.add(ctx, invalid)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	slices.SortFunc(collector.found, func(a, b ProblemError) int {
		return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
	})
	return collector.found, nil
}

// dropNulls removes optional members that are null from a value. Go's decoder
// treats null as absent, and so do most clients.
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

// An errorCollector flattens the tree of validation errors into a list, up to
// a limit.
type errorCollector struct {
	*Document
	ignore       func(path []string, k jsonschema.ErrorKind) bool // may be nil
	remaining    int
	examined     int  // number of errors examined
	disconnected bool // whether the client has disconnected
	found        []ProblemError
	seen         map[ProblemError]bool // without values
	path         []string              // buffer for the path of a member
}

// done reports whether to stop because the list is full or the client has
// disconnected.
func (d *errorCollector) done(ctx context.Context) bool {
	d.examined++
	d.disconnected = d.disconnected || d.examined%checkInterval == 0 && ctx.Err() != nil
	return d.disconnected || len(d.found) >= d.remaining
}

func (d *errorCollector) record(path []string, k jsonschema.ErrorKind, message string) {
	// Values that Read rejected are already reported, and replaced in the
	// document.
	if len(d.found) >= d.remaining || d.reported.has(path) || d.ignore != nil && d.ignore(path, k) {
		return
	}
	at, value := locate(d.Root, d.at, path)
	e := ProblemError{Location: at, Message: message}
	if !d.seen[e] {
		d.seen[e] = true
		e.Value = shortValue(value)
		d.found = append(d.found, e)
	}
}

// recordMembers records the same error for several members of a value.
func (d *errorCollector) recordMembers(
	ctx context.Context, path, names []string, k jsonschema.ErrorKind, message string,
) {
	for _, name := range names {
		if d.done(ctx) {
			return
		}
		d.path = append(append(d.path[:0], path...), name)
		d.record(d.path, k, message)
	}
}

func (d *errorCollector) add(ctx context.Context, e *jsonschema.ValidationError) {
	if d.done(ctx) {
		return
	}
	path := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		// If another rule fails, the library also reports known properties as
		// unevaluated.
		causes := slices.DeleteFunc(slices.Clone(e.Causes), unevaluated)
		if len(causes) == 0 {
			causes = e.Causes
		}
		for _, cause := range causes {
			d.add(ctx, cause)
		}
	case *kind.AnyOf, *kind.OneOf:
		// Report the errors of the only alternative whose type matches.
		matching := slices.DeleteFunc(slices.Clone(e.Causes), func(c *jsonschema.ValidationError) bool {
			_, other := c.ErrorKind.(*kind.Type)
			return other && len(c.InstanceLocation) == len(path)
		})
		if len(matching) == 1 {
			d.add(ctx, matching[0])
			return
		}
		d.record(path, k, "expected one of the allowed forms")
	case *kind.Required:
		d.recordMembers(ctx, path, k.Missing, k, "this is required")
	case *kind.DependentRequired:
		d.recordMembers(ctx, path, k.Missing, k, fmt.Sprintf("this is required when %s is given", Truncate(k.Prop)))
	case *kind.AdditionalProperties:
		d.recordMembers(ctx, path, k.Properties, k, unexpectedMessage)
	case *kind.PropertyNames: // its location may be that of a sibling
		d.record(nil, k, fmt.Sprintf("unexpected property name %q", Truncate(k.Property)))
	default:
		d.record(path, k, validationMessage(k))
	}
}

// unexpectedMessage is the error message for an undefined property.
const unexpectedMessage = "unexpected property"

func unevaluated(e *jsonschema.ValidationError) bool {
	return strings.HasSuffix(e.SchemaURL, "/unevaluatedProperties") ||
		strings.HasSuffix(e.SchemaURL, "/unevaluatedItems")
}

// shortValue returns a value that is short enough to repeat in an error, or
// nil.
func shortValue(value any) any {
	switch v := value.(type) {
	case string:
		if len(v) <= 100 {
			return v
		}
	case json.Number:
		if _, err := v.Float64(); err == nil && len(v) <= 100 { // other numbers may be out of range for clients
			return v
		}
	case bool:
		return v
	}
	return nil
}
