package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxOutput bounds what a service may return, and an input made of it.
const maxOutput = 4 << 20

// outputKey marks, in the input of a further step, a place that a part of the
// output of the step before takes.
const outputKey = "$output"

// errOutput is the error of an output that can't be used.
var errOutput = errors.New("invalid output")

// errInput is the error of a step whose input can't be made.
var errInput = errors.New("invalid input")

// encodeOutput returns a service's output as JSON.
func encodeOutput(out any) (json.RawMessage, error) {
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutput, err)
	}
	if len(b) > maxOutput {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", errOutput, len(b), maxOutput)
	}
	return b, nil
}

// resolve returns a step's input in which the parts of output stand where the
// step asked for them.
func resolve(input, output []byte) (json.RawMessage, error) {
	if !bytes.Contains(input, []byte(outputKey)) {
		return input, nil
	}
	in, err := decode(input)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInput, err)
	}
	out, err := decode(output)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInput, err)
	}
	if in, err = fill(in, out); err != nil {
		return nil, fmt.Errorf("%w: %w", errInput, err)
	}
	return encodeOutput(in)
}

// decode keeps numbers as they were written.
func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// fill replaces every {"$output": pointer} in v.
func fill(v, output any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		if p, ok := v[outputKey].(string); ok && len(v) == 1 {
			return pointer(output, p)
		}
		for key := range v {
			if v[key], err = fill(v[key], output); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = fill(v[i], output); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// pointer returns the part of v that the JSON pointer p (RFC 6901) names.
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
