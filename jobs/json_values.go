package jobs

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
)

// A text is a value that is stored as JSON text. Scanning NULL does not change it.
type text[T any] struct{ v *T }

func (t text[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(*t.v)
	return string(b), err
}

func (t text[T]) Scan(src any) error {
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

// nullable returns v as JSON text, or NULL if it is nil.
func nullable[T any](v *T) any {
	if v == nil {
		return nil
	}
	return text[T]{v}
}

// raw returns JSON text unchanged, or NULL.
func raw(b json.RawMessage) any {
	if b == nil {
		return nil
	}
	return string(b)
}

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
