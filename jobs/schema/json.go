package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"coatcheck/jobs"
)

// Limits on JSON from clients. They keep the cost of a request body linear in
// its size: at most 700 bytes are allocated per byte of the body
// (TestCostIsLinear). A body is read a fixed number of times, regardless of the
// number of steps: once here, once by the schema, twice by encoding/json, and
// once more here for the inputs of further steps and for the fingerprint.
// Looking up the position of an error takes at most maxDepth steps. The
// location of an error is rendered only if the error is reported, and at most
// maxErrors errors are.
const (
	maxDepth  = 100
	maxValues = 100_000
	MaxName   = 1024 // bytes in a member name
	MaxErrors = 100
	maxDigits = 10_000 // in a number

	// checkInterval is how many values are read, or errors examined, between
	// two checks of the context. The checks stop the work when the client
	// disconnects.
	checkInterval = 1000
)

// A Document is a parsed JSON text.
type Document struct {
	Root     any
	at       string         // location of root in the request
	errs     []ProblemError // at most maxErrors
	reported pathSet        // paths of errs; root may have substitute values there
}

// A jsonReader reads JSON from clients. It is stricter than encoding/json,
// which accepts duplicate names and unpaired surrogates. Numbers keep their
// original spelling.
type jsonReader struct {
	*jsontext.Decoder
	Document
	values int
	path   []segment // of the current value
}

// A segment of a path is the name of an object member or the index of a list
// item.
type segment struct {
	name  string
	index int // -1 for a member
}

// Read parses one JSON text (RFC 8259, with unique names as in RFC 7493) at
// the given location of the request. It returns an error if the text is not
// valid JSON or the context is done. The errs of the document are in valid
// JSON that the server does not accept.
func Read(ctx context.Context, text []byte, at string) (*Document, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("the text is empty")
	}
	if !utf8.Valid(text) {
		return nil, errEncoding(text)
	}
	r := &jsonReader{Decoder: jsontext.NewDecoder(bytes.NewReader(text)), Document: Document{at: at}}
	var err error
	if r.Root, err = r.next(ctx); err == nil {
		if _, err = r.ReadToken(); errors.Is(err, io.EOF) {
			return &r.Document, nil
		}
		return nil, fmt.Errorf("unexpected data after the end, at byte %d", r.InputOffset())
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		err = fmt.Errorf("at byte %d, %s: %w", syntax.ByteOffset, locationOf(at, syntax.JSONPointer), syntax.Err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("unexpected end")
	}
	return nil, err
}

// addError records a validation error in the current value.
func (r *jsonReader) addError(message string) {
	if len(r.errs) < MaxErrors {
		r.errs = append(r.errs, ProblemError{Location: r.location(), Message: message})
		r.reported.add(r.path)
	}
}

// location returns the location of the current value.
func (r *jsonReader) location() string {
	l := newLocation(r.at)
	for _, s := range r.path {
		if s.index < 0 {
			l.member(s.name)
		} else {
			l.item(strconv.Itoa(s.index))
		}
	}
	return l.String()
}

// next reads the value at the current path.
func (r *jsonReader) next(ctx context.Context) (any, error) {
	token, err := r.ReadToken()
	if err != nil {
		return nil, err
	}
	if r.values++; r.values > maxValues {
		return nil, fmt.Errorf("it has more than %d values", maxValues)
	}
	if r.values%checkInterval == 0 && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if r.StackDepth() > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d, at %s", maxDepth, Truncate(r.location()))
	}
	switch token.Kind() {
	case '{':
		return r.object(ctx)
	case '[':
		return r.list(ctx)
	case '"':
		text := token.String()
		if strings.ContainsRune(text, 0) {
			r.addError(`expected text without NUL (\u0000)`)
		}
		return text, nil
	case '0':
		number := token.String()
		if !jobs.CheapNumber(number, maxDigits) {
			r.addError(fmt.Sprintf("expected a number of at most %d digits and an exponent of at most %d", maxDigits,
				jobs.MaxExponent))
			number = "0"
		}
		return json.Number(number), nil
	case 'n':
		return nil, nil
	default:
		return token.Bool(), nil
	}
}

func (r *jsonReader) object(ctx context.Context) (any, error) {
	object := make(map[string]any)
	for r.PeekKind() != '}' {
		token, err := r.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		if strings.ContainsRune(name, 0) {
			r.addError(`expected names without NUL (\u0000)`)
		}
		if len(name) > MaxName {
			r.addError(fmt.Sprintf("expected names of at most %d bytes: %q… has %d", MaxName, Truncate(name),
				len(name)))
			if err := r.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		r.path = append(r.path, segment{name, -1})
		if object[name], err = r.next(ctx); err != nil {
			return nil, err
		}
		r.path = r.path[:len(r.path)-1]
	}
	_, err := r.ReadToken()
	return object, err
}

func (r *jsonReader) list(ctx context.Context) (any, error) {
	list := []any{}
	for r.PeekKind() != ']' {
		r.path = append(r.path, segment{"", len(list)})
		value, err := r.next(ctx)
		if err != nil {
			return nil, err
		}
		r.path = r.path[:len(r.path)-1]
		list = append(list, value)
	}
	_, err := r.ReadToken()
	return list, err
}

// errEncoding returns the error for text that is not UTF-8.
func errEncoding(text []byte) error {
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		return errors.New("it starts with the byte order mark of UTF-16: expected UTF-8")
	}
	return errors.New("it contains invalid UTF-8")
}
