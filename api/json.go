package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxDepth    = 100
	maxValues   = 100_000
	maxMistakes = 100
	maxDigits   = 10_000 // of a number
	maxExponent = 1_000
)

// A jsonReader reads all JSON that comes from outside, more strictly than
// encoding/json, which takes repeated names and halves of surrogate pairs.
// Numbers stay as they were written.
type jsonReader struct {
	*jsontext.Decoder
	values   int
	mistakes []ProblemError
}

// readJSON reads one JSON text (RFC 8259, with unique names as in RFC 7493). An
// error says why it is none; mistakes, below the location at, are of a text
// that is one and yet can't be taken.
func readJSON(text []byte, at string) (value any, mistakes []ProblemError, err error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil, errors.New("it is empty")
	}
	if !utf8.Valid(text) {
		return nil, nil, errors.New("it has bytes that are not UTF-8")
	}
	r := &jsonReader{Decoder: jsontext.NewDecoder(bytes.NewReader(text))}
	if value, err = r.next(at); err == nil {
		if _, err = r.ReadToken(); errors.Is(err, io.EOF) {
			return value, r.mistakes, nil
		}
		return nil, nil, fmt.Errorf("there is more after its end, at byte %d", r.InputOffset())
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		err = fmt.Errorf("at byte %d, %s: %w", syntax.ByteOffset, locationOf(at, syntax.JSONPointer), syntax.Err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends in the middle")
	}
	return nil, nil, err
}

// locationOf returns a JSON pointer (RFC 6901) as the locations of problems
// are written.
func locationOf(at string, pointer jsontext.Pointer) string {
	var b strings.Builder
	b.WriteString(at)
	for token := range pointer.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			b.WriteString("[" + token + "]")
		} else {
			b.WriteString("." + token)
		}
	}
	return b.String()
}

func (r *jsonReader) wrong(at, message string) {
	if len(r.mistakes) < maxMistakes {
		r.mistakes = append(r.mistakes, ProblemError{Location: at, Message: message})
	}
}

// next reads a value, which stands at the location.
func (r *jsonReader) next(at string) (any, error) {
	token, err := r.ReadToken()
	if err != nil {
		return nil, err
	}
	if r.values++; r.values > maxValues {
		return nil, fmt.Errorf("it has more than %d values", maxValues)
	}
	if r.StackDepth() > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d, at %s", maxDepth, clipped(at))
	}
	switch token.Kind() {
	case '{':
		return r.object(at)
	case '[':
		return r.list(at)
	case '"':
		text := token.String()
		if strings.ContainsRune(text, 0) {
			r.wrong(at, `expected text without NUL (\u0000)`)
		}
		return text, nil
	case '0':
		number := token.String()
		if !reasonable(number) {
			r.wrong(at, fmt.Sprintf("expected a number of at most %d digits and an exponent of at most %d", maxDigits, maxExponent))
			number = "0"
		}
		return json.Number(number), nil
	case 'n':
		return nil, nil
	default:
		return token.Bool(), nil
	}
}

func (r *jsonReader) object(at string) (any, error) {
	object := make(map[string]any)
	for r.PeekKind() != '}' {
		token, err := r.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		if strings.ContainsRune(name, 0) {
			r.wrong(at, `expected names without NUL (\u0000)`)
		}
		if object[name], err = r.next(at + "." + name); err != nil {
			return nil, err
		}
	}
	_, err := r.ReadToken()
	return object, err
}

func (r *jsonReader) list(at string) (any, error) {
	list := []any{}
	for r.PeekKind() != ']' {
		value, err := r.next(at + "[" + strconv.Itoa(len(list)) + "]")
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := r.ReadToken()
	return list, err
}

// reasonable reports whether a number takes little time to reckon with.
func reasonable(number string) bool {
	digits, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return len(digits) <= maxDigits
	}
	e, err := strconv.Atoi(exponent)
	return err == nil && len(digits) <= maxDigits && -maxExponent <= e && e <= maxExponent
}
