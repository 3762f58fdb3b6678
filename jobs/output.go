package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

const (
	// DefaultMaxOutput is the default of the maximum size in bytes of a service's output as JSON. The
	// maximum also limits the input of a further step once it is filled.
	DefaultMaxOutput = 4 << 20
	// maxOutputDigits is the maximum number of digits of a number in an output. The product of two
	// inputs has fewer.
	maxOutputDigits = 3 * maxDigits
	// MaxExponent is the largest exponent of a number in inputs and outputs.
	MaxExponent = 1_000
	// maxOutputDepth is the maximum nesting depth of arrays and objects, as in inputs.
	maxOutputDepth = 100
)

// strictJSON encodes JSON like encoding/json, but rejects invalid UTF-8 and duplicate names, and
// reports the position of errors. It leaves <, > and & as they are, also in what methods of values and
// json.RawMessage escape.
var strictJSON = jsonv2.JoinOptions(
	jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false),
	jsontext.AllowInvalidUTF8(false), jsontext.AllowDuplicateNames(false),
	jsontext.EscapeForHTML(false), jsontext.PreserveRawStrings(false),
	jsonv2.WithMarshalers(jsonv2.MarshalToFunc(func(e *jsontext.Encoder, n json.Number) error {
		return e.WriteValue(jsontext.Value(cmp.Or(n, "0"))) // otherwise it would become a string
	})),
)

// MaxOutput returns the maximum size in bytes of the current job's output as JSON.
func MaxOutput(ctx context.Context) int { return cmp.Or(runOf(ctx).MaxOutput, DefaultMaxOutput) }

// An OutputLimitError means that an output is too large. It is permanent.
type OutputLimitError struct {
	// What has too many bytes, such as "the output".
	What string
	// Limit is the maximum size in bytes.
	Limit int
}

// Error implements error.
func (e *OutputLimitError) Error() string {
	return fmt.Sprintf("%s has more than %d bytes, the limit limits.max_output", e.What, e.Limit)
}

// Unwrap returns [ErrPermanent].
func (e *OutputLimitError) Unwrap() error { return ErrPermanent }

// encodeOutput returns a service's output as JSON (RFC 8259), in the format of encoding/json but as
// strict as inputs: no invalid UTF-8, no duplicate names, and no numbers that are expensive to
// parse. The failure names the position.
//
// It calls the output's methods, so only the run's own goroutine may call it.
func encodeOutput(ctx context.Context, out any) Result {
	b := limitedBuffer{limit: MaxOutput(ctx)}
	err := jsonv2.MarshalWrite(&b, out, strictJSON)
	if err == nil {
		err = checkTokens(b.Bytes())
	}
	if err == nil {
		return Result{Output: b.Bytes()}
	}
	return Fail(codeInvalidOutput, "invalid output: %s", describeJSON(err))
}

// describeJSON describes an error in a value that is to become JSON, with its position as a JSON
// pointer (RFC 6901).
func describeJSON(err error) string {
	if tooLarge, ok := errors.AsType[*OutputLimitError](err); ok {
		return tooLarge.Error()
	}
	var place jsontext.Pointer
	reason := err
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		place, reason = semantic.JSONPointer, semantic.Err
		if reason == nil {
			reason = fmt.Errorf("the Go type %v has no form in JSON", semantic.GoType)
		}
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		place, reason = syntactic.JSONPointer, syntactic.Err
	}
	if place == "" {
		return reason.Error()
	}
	return fmt.Sprintf("at %s: %s", Clip(string(place), MaxMessage), reason)
}

// checkTokens rejects numbers that are expensive to parse, and values that are nested too deeply.
func checkTokens(text []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if token.Kind() == '0' && !CheapNumber(token.String(), maxOutputDigits) {
			return &jsontext.SyntacticError{JSONPointer: d.StackPointer(), Err: fmt.Errorf("expected a number of at most %d digits and an exponent of at most %d", maxOutputDigits, MaxExponent)}
		}
		if d.StackDepth() > maxOutputDepth {
			return &jsontext.SyntacticError{
				JSONPointer: d.StackPointer(), Err: fmt.Errorf("it is nested deeper than %d", maxOutputDepth),
			}
		}
	}
}

// CheapNumber reports whether a JSON number is cheap to compute with: it has at most maxDigits
// digits, and its exponent is between -[MaxExponent] and [MaxExponent].
func CheapNumber(number string, maxDigits int) bool {
	digits, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return len(digits) <= maxDigits
	}
	e, err := strconv.Atoi(exponent)
	return err == nil && len(digits) <= maxDigits && -MaxExponent <= e && e <= MaxExponent
}

// A limitedBuffer accepts a limited number of bytes.
type limitedBuffer struct {
	bytes.Buffer
	limit int
}

// Write implements [io.Writer].
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, &OutputLimitError{What: "it", Limit: b.limit}
	}
	return b.Buffer.Write(p)
}
