package schema

import (
	"errors"
	"strings"
	"time"
)

// TimeExample is the example in error messages about invalid times.
const TimeExample = "2026-01-31T12:00:00Z"

// errTime is the error for text that is not a valid time.
var errTime = errors.New("expected " + typeNouns["date-time"] + "; in a query, write the + of a time zone as %2B")

// ParseTime parses a time in RFC 3339 format, where T and Z may be lower case.
func ParseTime(text string) (at time.Time, err error) {
	if at.UnmarshalText([]byte(strings.ToUpper(text))) != nil {
		return at, errTime
	}
	return at, nil
}
