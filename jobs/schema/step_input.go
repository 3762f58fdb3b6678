package schema

import (
	"context"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// outputMember is the only member of a placeholder. A placeholder is an object
// {"$output": pointer} in the input of a further step, and is replaced with
// that part of the previous step's output.
const outputMember = "$output"

// placeholder returns the pointer of a value that is a placeholder.
func placeholder(value any) (pointer string, ok bool) {
	object, _ := value.(map[string]any)
	if len(object) == 1 {
		pointer, ok = object[outputMember].(string)
	}
	return pointer, ok
}

// CheckStep validates the input of a further step, except for its placeholders.
// Their replacements are validated when the step starts.
func (v *Validator) CheckStep(
	ctx context.Context, service string, text []byte, location string,
) ([]ProblemError, error) {
	schema := v.compiled[service]
	if schema == nil {
		return nil, nil // the caller reports the unknown service
	}
	d, err := Read(ctx, text, location)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, nil //nolint:nilerr // the body is valid JSON, so the input is missing, which its schema reports
	}
	errs, err := d.validate(ctx, schema, d.inPlaceholder)
	if err != nil {
		return nil, err
	}
	w := pointerCheck{Document: d, remaining: MaxErrors - len(errs)}
	w.walk(d.Root)
	return append(errs, w.found...), nil
}

// inPlaceholder reports whether an error is inside a placeholder, so that the
// replacement may fix it. An unexpected member remains an error whatever its
// value.
func (d *Document) inPlaceholder(path []string, k jsonschema.ErrorKind) bool {
	value := d.Root
	for _, name := range path {
		if _, ok := placeholder(value); ok {
			return true
		}
		value = child(value, name)
	}
	switch k.(type) {
	case *kind.AdditionalProperties, *kind.FalseSchema:
		return false
	}
	_, ok := placeholder(value)
	return ok
}

// A pointerCheck finds placeholders with malformed pointers.
type pointerCheck struct {
	*Document
	path      []string
	remaining int
	found     []ProblemError
}

func (c *pointerCheck) walk(value any) {
	if len(c.found) >= c.remaining {
		return
	}
	if pointer, ok := placeholder(value); ok {
		if !wellFormedPointer(pointer) {
			at, _ := locate(c.Root, c.at, append(c.path, outputMember))
			c.found = append(c.found, ProblemError{
				Location: at, Value: shortValue(pointer),
				Message: `expected a JSON pointer (RFC 6901): "" for the whole output, or a slash before each name, with ~ written as ~0 and / as ~1`,
			})
		}
		return
	}
	for name, inner := range children(value) {
		c.path = append(c.path, name)
		c.walk(inner)
		c.path = c.path[:len(c.path)-1]
	}
}

// wellFormedPointer reports whether a text is a JSON pointer (RFC 6901).
func wellFormedPointer(pointer string) bool {
	if pointer != "" && pointer[0] != '/' {
		return false
	}
	for {
		_, after, found := strings.Cut(pointer, "~")
		if !found {
			return true
		}
		if after == "" || after[0] != '0' && after[0] != '1' {
			return false
		}
		pointer = after
	}
}
