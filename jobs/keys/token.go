package keys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// sum returns the MAC of data for a purpose.
func (k *Keyring) sum(purpose string, data []byte) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write([]byte(purpose + "\x00"))
	h.Write(data)
	return h.Sum(nil)[:macSize]
}

// Token returns the token for the job with this id.
func (k *Keyring) Token(id string) string {
	return id + "." + idEncoding.EncodeToString(k.sum("token", []byte(id)))
}

// VerifyToken returns the id of the job that the token grants access to.
func (k *Keyring) VerifyToken(token string) (id string, ok bool) {
	id, _, ok = strings.Cut(token, ".")
	if !ok || !ValidID("job_", id) || !hmac.Equal([]byte(token), []byte(k.Token(id))) {
		return "", false
	}
	return id, true
}

// Fingerprint identifies the keyring, and so the server and its database. It is not secret.
func (k *Keyring) Fingerprint() string { return idEncoding.EncodeToString(k.sum("fingerprint", nil)) }

// Seal encodes data with a MAC for use in a URL. Callers can pass it back but cannot forge or
// change it.
func (k *Keyring) Seal(data []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(k.sum("seal", data), data...))
}

// Open verifies and returns the data that Seal encoded.
func (k *Keyring) Open(sealed string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil || len(b) < macSize || !hmac.Equal(b[:macSize], k.sum("seal", b[macSize:])) {
		return nil, false
	}
	return b[macSize:], true
}
