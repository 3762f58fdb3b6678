package store

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
)

// Marshal encodes a value like [json.Marshal], but leaves <, > and & as they are: callers read the text,
// and no browser takes it for HTML.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// JSON returns a value for a statement's argument, or a destination of Scan, that is stored as
// JSON text. Scanning NULL does not change v.
func JSON[T any](v *T) JSONValue[T] { return JSONValue[T]{v} }

// A JSONValue is an argument of a statement, and a destination of Scan.
type JSONValue[T any] struct{ v *T }

// Value implements [driver.Valuer].
func (t JSONValue[T]) Value() (driver.Value, error) {
	b, err := Marshal(*t.v)
	return string(b), err
}

// Scan implements [sql.Scanner].
func (t JSONValue[T]) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(src), t.v)
	case []byte:
		return json.Unmarshal(src, t.v)
	default:
		return fmt.Errorf("cannot scan %T as JSON text", src)
	}
}

// NullableJSON returns v as JSON text, or NULL if it is nil.
func NullableJSON[T any](v *T) any {
	if v == nil {
		return nil
	}
	return JSON(v)
}

// RawJSON returns JSON text unchanged, or NULL.
func RawJSON(b json.RawMessage) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// ScanRawJSON returns a destination of Scan that receives JSON text unchanged, or nil for NULL.
func ScanRawJSON(b *json.RawMessage) sql.Scanner { return rawScanner{b} }

type rawScanner struct{ b *json.RawMessage }

func (r rawScanner) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*r.b = nil
	case string:
		*r.b = json.RawMessage(src)
	case []byte:
		*r.b = append(json.RawMessage(nil), src...)
	default:
		return fmt.Errorf("cannot scan %T as JSON text", src)
	}
	return nil
}
