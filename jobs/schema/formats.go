package schema

import (
	"encoding/json"
	"net/http"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// formats are the formats that the server validates itself, with the same
// functions that decode the value later. The validator's own rules differ: JSON
// Schema treats 1.0, 1e3 and 1e30 as integers, and a duration is PT30S.
var formats = []*jsonschema.Format{
	// The range of the Go type is checked when the value is decoded.
	integerFormat("int32"), integerFormat("int64"),
	textFormat("date-time", func(s string) error { _, err := ParseTime(s); return err }),
	textFormat("date-time-http", func(s string) error { _, err := http.ParseTime(s); return err }),
	textFormat("duration", func(s string) error { _, err := time.ParseDuration(s); return err }),
	textFormat("time", func(s string) error {
		_, err := time.Parse("15:04:05", s)
		if err != nil {
			_, err = time.Parse("15:04:05Z07:00", s)
		}
		return err
	}),
	textFormat("ip", func(s string) error { _, err := netip.ParseAddr(s); return err }),
	textFormat("idn-email", func(s string) error { _, err := mail.ParseAddress(s); return err }),
}

// textFormats are the formats allowed in the format tag of a string field:
// those of this package, those of the validator, and some that only affect how
// a field is displayed.
var textFormats = append(strings.Fields(`regex uuid ipv4 ipv6 hostname email date uri uri-reference iri iri-reference uri-template
	json-pointer relative-json-pointer semver period password binary byte`), formatNames()...)

func formatNames() (names []string) {
	for _, f := range formats {
		names = append(names, f.Name)
	}
	return names
}

func textFormat(name string, check func(string) error) *jsonschema.Format {
	return &jsonschema.Format{Name: name, Validate: func(v any) error {
		if s, ok := v.(string); ok {
			return check(s)
		}
		return nil
	}}
}

// integerFormat returns a format that accepts the integers that encoding/json
// accepts.
func integerFormat(name string) *jsonschema.Format {
	return &jsonschema.Format{Name: name, Validate: func(v any) error {
		n, ok := v.(json.Number)
		if !ok {
			return nil
		}
		_, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil {
			_, err = strconv.ParseUint(n.String(), 10, 64)
		}
		return err
	}}
}
