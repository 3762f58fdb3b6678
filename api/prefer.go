package api

import (
	"strings"
	"time"
)

// maxWait is the maximum duration of a long poll. Proxies commonly time out
// after 60 seconds; the response must be earlier.
const maxWait = 55 * time.Second

// waitPreference returns the wait preference of a Prefer header (RFC 7240,
// section 4.3), at most [maxWait]. It reports false without a valid preference:
// as the RFC requires, invalid ones are ignored. Only the first wait preference
// counts.
func waitPreference(lines []string) (time.Duration, bool) {
	for preference := range splitList(strings.Join(lines, ",")) {
		token, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(token, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		var seconds int64
		if value == "" || len(value) > 9 {
			return 0, false
		}
		for _, c := range value {
			if c < '0' || c > '9' {
				return 0, false
			}
			seconds = 10*seconds + int64(c-'0')
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// splitList yields the elements of a list, separated by commas outside of
// quotes (RFC 9110, section 5.6).
func splitList(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == ',' && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
