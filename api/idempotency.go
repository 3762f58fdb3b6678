package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"coatcheck/api/problem"
	"coatcheck/jobs/schema"
)

// idempotencyKey returns the request's idempotency key, or "" if it has none.
func (info *RequestInfo) idempotencyKey() (string, error) {
	lines := info.header.Values("Idempotency-Key")
	if len(lines) == 0 {
		return "", nil
	}
	key, err := parseKey(lines)
	if err != nil {
		return "", problem.New("bad-request", "the Idempotency-Key header is malformed", schema.ProblemError{
			Location: "header.Idempotency-Key", Message: err.Error(),
		})
	}
	return key, nil
}

// maxKey is the maximum length of an idempotency key.
const maxKey = 255

// parseKey returns the key of an Idempotency-Key header: a string as in RFC
// 9651, section 3.3.3, or its bare characters.
func parseKey(lines []string) (string, error) {
	if len(lines) > 1 {
		return "", errors.New("expected the header once")
	}
	raw := strings.TrimSpace(lines[0])
	key := raw
	if strings.HasPrefix(raw, `"`) {
		var b strings.Builder
		rest := raw[1:]
		for {
			i := strings.IndexAny(rest, `"\`)
			if i < 0 {
				return "", errors.New("expected a quote at the end")
			}
			b.WriteString(rest[:i])
			if rest[i] == '"' {
				if i+1 < len(rest) {
					return "", errors.New("expected nothing after the closing quote")
				}
				break
			}
			if i+1 == len(rest) || rest[i+1] != '"' && rest[i+1] != '\\' {
				return "", errors.New(`expected \" or \\ after a backslash`)
			}
			b.WriteByte(rest[i+1])
			rest = rest[i+2:]
		}
		key = b.String()
	} else if strings.ContainsAny(raw, ` ",`) {
		return "", errors.New("expected one key: put a key with spaces or commas in quotes")
	}
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("expected 1 to %d characters of printable ASCII", maxKey)
	}
	return key, nil
}

// fingerprint returns a hash that is equal for equivalent submissions: the
// order of names and whitespace are ignored, and options that are null are
// treated as absent.
func fingerprint(ctx context.Context, body []byte) string {
	if d, err := schema.Read(ctx, body, ""); err == nil {
		if submission, ok := d.Root.(map[string]any); ok {
			maps.DeleteFunc(submission, func(_ string, value any) bool { return value == nil })
		}
		if b, err := json.Marshal(d.Root); err == nil {
			body = b
		}
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
