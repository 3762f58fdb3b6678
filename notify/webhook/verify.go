package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is the maximum difference between the clocks of sender and receiver. It is also how
// long a captured callback can be replayed.
const tolerance = 5 * time.Minute

// Verify verifies a callback on the receiver's side according to Standard Webhooks 1.0. body is the
// request's body, byte for byte. key is the secret "whsec_…" or the public key "whpk_…". The error
// describes what is wrong.
func Verify(key string, header http.Header, body []byte, now time.Time) error {
	check, scheme, err := verifier(key)
	if err != nil {
		return err
	}
	id, timestamp, signatures := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), header.Get("Webhook-Signature")
	if id == "" || timestamp == "" || signatures == "" {
		return errors.New("one of the headers webhook-id, webhook-timestamp and webhook-signature is missing")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("webhook-timestamp %.40q is no number of seconds", timestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("webhook-timestamp is %s away from this clock, more than %s", age.Round(time.Second),
			tolerance)
	}
	signed := signedContent(id, timestamp, body)
	seen := false
	for signature := range strings.FieldsSeq(signatures) {
		version, text, _ := strings.Cut(signature, ",")
		if version != scheme {
			continue
		}
		seen = true
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil && check(signed, raw) {
			return nil
		}
	}
	if !seen {
		return fmt.Errorf("webhook-signature has no signature of scheme %s", scheme)
	}
	return errors.New("no signature matches: the body was changed on its way, or it was signed with another key")
}

// verifier returns a function that checks a signature with the key, and its scheme.
func verifier(key string) (check func(signed, signature []byte) bool, scheme string, err error) {
	if text, ok := strings.CutPrefix(key, publicPrefix); ok {
		public, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(public) != ed25519.PublicKeySize {
			return nil, "", errors.New("the key is no whpk_ and base64 of 32 bytes")
		}
		return func(signed, signature []byte) bool { return ed25519.Verify(public, signed, signature) }, V1a, nil
	}
	k, err := ParseKey(key)
	if err != nil {
		return nil, "", err
	}
	if k.scheme == V1a {
		public := k.public()
		return func(signed, signature []byte) bool { return ed25519.Verify(public, signed, signature) }, V1a, nil
	}
	return func(signed, signature []byte) bool { return hmac.Equal(mac(k.secret, signed), signature) }, V1, nil
}
