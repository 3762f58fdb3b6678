package keys

import (
	"net/url"
	"regexp"
)

var (
	// tokenInPath matches a possible token in a path segment, after the id: a
	// dot and a secret, or anything after a complete id.
	tokenInPath = regexp.MustCompile(`(?i)(job_(?:[0-9a-z]{26}|[0-9a-z]*(?:\.|%2e)))[^/]*`)
	// tokenInText matches the secret half of a token in any text.
	tokenInText = regexp.MustCompile(`(?i)([0-9a-z]{20,})(?:\.|%2e)[0-9a-z]{16,}`)
)

// RedactPath removes the secret half of tokens in a path, at any position
// and in any encoding.
func RedactPath(path string) string {
	plain := path
	for range 3 { // each iteration removes one layer of percent-encoding
		if cut := redactPath(plain); cut != plain {
			return cut
		}
		next, err := url.PathUnescape(plain)
		if err != nil || next == plain {
			break
		}
		plain = next
	}
	return path
}

func redactPath(path string) string {
	path = tokenInPath.ReplaceAllStringFunc(path, func(match string) string {
		id := tokenInPath.FindStringSubmatch(match)[1]
		for _, dot := range []string{".", "%2e", "%2E"} {
			if n := len(id) - len(dot); n >= 0 && id[n:] == dot {
				return id[:n]
			}
		}
		return id
	})
	return RedactText(path)
}

// RedactText removes the secret half of tokens in a text.
func RedactText(text string) string { return tokenInText.ReplaceAllString(text, "$1") }
