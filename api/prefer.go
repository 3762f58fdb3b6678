package api

import (
	"strings"
	"time"
)

// maxWait is the longest time a request waits for a job. Proxies commonly give
// up after 60 seconds; the answer comes before that.
const maxWait = 55 * time.Second

// waitPreference returns the wait of a Prefer header (RFC 7240, section 4.3),
// at most [maxWait]. What makes no sense is ignored, as the RFC says; the
// first of several counts.
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

// preferences yields the elements of a list, which commas outside of quotes
// separate (RFC 9110, section 5.6).
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
