package store

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// A Time is a time in UTC, truncated to milliseconds. In JSON it is RFC 3339 with three fractional
// digits, in the database milliseconds since 1970.
type Time struct{ time.Time }

// TimeLayout is RFC 3339 with milliseconds.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// At returns t truncated to milliseconds.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) {
	return t.UTC().AppendFormat(nil, TimeLayout), nil
}

// MarshalJSON implements [json.Marshaler]. Without it, the method of time.Time would be promoted.
func (t Time) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, len(TimeLayout)+2), '"')
	return append(t.UTC().AppendFormat(b, TimeLayout), '"'), nil
}

// Value implements [driver.Valuer].
func (t Time) Value() (driver.Value, error) { return t.UnixMilli(), nil }

// Scan implements [sql.Scanner].
func (t *Time) Scan(src any) error {
	ms, ok := src.(int64)
	if !ok {
		return fmt.Errorf("time is %T, want milliseconds", src)
	}
	*t = At(time.UnixMilli(ms))
	return nil
}

// A Duration is stored in the database as milliseconds.
type Duration time.Duration

// Value implements [driver.Valuer].
func (d Duration) Value() (driver.Value, error) { return time.Duration(d).Milliseconds(), nil }

// Scan implements [sql.Scanner].
func (d *Duration) Scan(src any) error {
	ms, ok := src.(int64)
	if !ok {
		return fmt.Errorf("duration is %T, want milliseconds", src)
	}
	*d = Duration(time.Duration(ms) * time.Millisecond)
	return nil
}
