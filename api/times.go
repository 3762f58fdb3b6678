package api

import (
	"errors"
	"strings"
	"time"
)

// timeExample is the example in error messages about invalid times.
const timeExample = "2026-01-31T12:00:00Z"

// errTime is the error for text that is not a valid time.
var errTime = errors.New("expected " + typeNouns["date-time"] + "; in a query, write the + of a time zone as %2B")

// parseTime parses a time in RFC 3339 format, where T and Z may be lower case.
func parseTime(text string) (at time.Time, err error) {
	if at.UnmarshalText([]byte(strings.ToUpper(text))) != nil {
		return at, errTime
	}
	return at, nil
}
