package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// outputKey marks a place in the input of a further step that is filled with a part of the previous
// step's output.
const outputKey = "$output"

// FillInput returns a step's input, filled with the parts of output that it refers to. It stops as
// soon as the input has more bytes than the limit.
func FillInput(input, output []byte, limit int) (json.RawMessage, error) {
	if !bytes.Contains(input, []byte(outputKey)) {
		return input, nil
	}
	in, err := decode(input)
	if err != nil {
		return nil, fmt.Errorf("read the input: %w", err)
	}
	out, err := decode(output)
	if err != nil {
		return nil, fmt.Errorf("read the output of the step before: %w", err)
	}
	b := limitedBuffer{limit: limit}
	e := jsontext.NewEncoder(&b, jsontext.AllowDuplicateNames(true)) // the names come from maps
	if err := fill(e, in, out); err != nil {
		if tooLarge, ok := errors.AsType[*OutputLimitError](err); ok {
			return nil, fmt.Errorf("filled with the output of the step before, %w", tooLarge)
		}
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// decode decodes JSON and keeps numbers as they were written.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// fill writes v, and replaces every {"$output": pointer} with the part of output that it refers to.
func fill(e *jsontext.Encoder, v, output any) error {
	switch v := v.(type) {
	case map[string]any:
		if p, ok := v[outputKey].(string); ok && len(v) == 1 {
			part, err := pointer(output, p)
			if err != nil {
				return err
			}
			return jsonv2.MarshalEncode(e, part, strictJSON)
		}
		if err := e.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if err := e.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
			if err := fill(e, v[name], output); err != nil {
				return err
			}
		}
		return e.WriteToken(jsontext.EndObject)
	case []any:
		if err := e.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, item := range v {
			if err := fill(e, item, output); err != nil {
				return err
			}
		}
		return e.WriteToken(jsontext.EndArray)
	default:
		return jsonv2.MarshalEncode(e, v, strictJSON)
	}
}

// pointer returns the part of v that the JSON pointer p (RFC 6901) refers to.
func pointer(v any, p string) (any, error) {
	if p == "" {
		return v, nil
	}
	if p[0] != '/' {
		return nil, fmt.Errorf("JSON pointer %q does not begin with a slash", p)
	}
	for token := range strings.SplitSeq(p[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		var ok bool
		switch parent := v.(type) {
		case map[string]any:
			v, ok = parent[token]
		case []any:
			i, err := strconv.Atoi(token)
			if ok = err == nil && i >= 0 && i < len(parent) && strconv.Itoa(i) == token; ok {
				v = parent[i]
			}
		}
		if !ok {
			return nil, fmt.Errorf("the output has no %q", p)
		}
	}
	return v, nil
}
