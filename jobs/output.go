package jobs

import (
	"bytes"
	"cmp"
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
	// MaxOutput is the maximum size in bytes of a service's output as JSON. It also limits the
	// input of a further step once it is filled.
	MaxOutput = 4 << 20
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

var errTooLarge = fmt.Errorf("it has more than %d bytes", MaxOutput)

// encodeOutput returns a service's output as JSON (RFC 8259), in the format of encoding/json but as
// strict as inputs: no invalid UTF-8, no duplicate names, and no numbers that are expensive to
// parse. The failure names the position.
//
// It calls the output's methods, so only the run's own goroutine may call it.
func encodeOutput(out any) Result {
	var b limitedBuffer
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
	if errors.Is(err, errTooLarge) {
		return errTooLarge.Error()
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

// A limitedBuffer accepts at most maxOutput bytes.
type limitedBuffer struct{ bytes.Buffer }

// Write implements [io.Writer].
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxOutput {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}
