// Package webhook signs and verifies webhooks according to Standard Webhooks 1.0, with both of its
// schemes. It depends only on the standard library, so that receivers can use it too.
package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The signature schemes of Standard Webhooks 1.0.
const (
	V1  = "v1"  // HMAC-SHA256 with a shared secret
	V1a = "v1a" // Ed25519 with a public key that may be published
)

// The prefixes of keys in Standard Webhooks.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

// The minimum and maximum length of a v1 secret in Standard Webhooks, and the length of the secrets
// of NewKey, in bytes.
const (
	minSecret = 24
	maxSecret = 64
	newSecret = 32
)

// A Key signs callbacks. The zero value is not a valid key.
type Key struct {
	scheme string
	secret []byte // v1: shared secret; v1a: seed of the private key
}

// NewKey returns a new random key for the scheme, V1 or V1a.
func NewKey(scheme string) Key {
	k := Key{scheme, make([]byte, newSecret)} // an Ed25519 seed has the same length
	rand.Read(k.secret)                       // never fails
	return k
}

// ParseKey parses the result of Secret: a secret "whsec_…" or a private key "whsk_…". Its error
// does not quote the key.
func ParseKey(s string) (Key, error) {
	scheme := V1
	text, ok := strings.CutPrefix(s, secretPrefix)
	if !ok {
		if text, ok = strings.CutPrefix(s, privatePrefix); !ok {
			return Key{}, errors.New("signing key begins with neither whsec_ nor whsk_")
		}
		scheme = V1a
	}
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Key{}, errors.New("signing key is not base64")
	}
	switch {
	case scheme == V1 && (len(secret) < minSecret || len(secret) > maxSecret):
		return Key{}, fmt.Errorf("secret has %d bytes, want %d to %d", len(secret), minSecret, maxSecret)
	case scheme == V1a && len(secret) == ed25519.PrivateKeySize:
		secret = secret[:ed25519.SeedSize] // other implementations write the seed and the public key
	case scheme == V1a && len(secret) != ed25519.SeedSize:
		return Key{}, fmt.Errorf("private key has %d bytes, want %d", len(secret), ed25519.SeedSize)
	}
	return Key{scheme, secret}, nil
}

// Scheme returns V1 or V1a.
func (k Key) Scheme() string { return k.scheme }

// Secret returns the key in the format of Standard Webhooks, to store it or to show it to its owner
// once.
func (k Key) Secret() string {
	if k.scheme == V1a {
		return privatePrefix + base64.StdEncoding.EncodeToString(k.secret)
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(k.secret)
}

// String returns a text without the key, for logs.
func (k Key) String() string { return k.scheme + " key" }

// GoString returns a text without the key, for logs.
func (k Key) GoString() string { return k.String() }

// PublicKey returns the public key of a V1a key, "whpk_…"; "" for other keys.
func (k Key) PublicKey() string {
	if k.scheme != V1a {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.public())
}

func (k Key) public() ed25519.PublicKey {
	public, _ := ed25519.NewKeyFromSeed(k.secret).Public().(ed25519.PublicKey)
	return public
}

// JWK returns the public key of a V1a key as a JSON Web Key (RFC 8037) whose kid is its thumbprint
// (RFC 7638).
func (k Key) JWK() json.RawMessage {
	x := base64.RawURLEncoding.EncodeToString(k.public())
	thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q,"use":"sig","alg":"EdDSA"}`,
		x, base64.RawURLEncoding.EncodeToString(thumbprint[:]))
}

// sign returns the signature with its scheme, "v1,…".
func (k Key) sign(signed []byte) string {
	if k.scheme == V1a {
		return V1a + "," + base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(k.secret), signed))
	}
	return V1 + "," + base64.StdEncoding.EncodeToString(mac(k.secret, signed))
}

func mac(secret, signed []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(signed)
	return h.Sum(nil)
}

// Sign returns the headers webhook-id, webhook-timestamp and webhook-signature, the last with the
// signatures of all keys. The id must not contain a dot, because dots separate the signed parts.
func Sign(id string, at time.Time, body []byte, keys []Key) (http.Header, error) {
	if id == "" || strings.Contains(id, ".") {
		return nil, errors.New("webhook id is empty or has a dot")
	}
	if len(keys) == 0 {
		return nil, errors.New("no key to sign with")
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signed := signedContent(id, timestamp, body)
	signatures := make([]string, len(keys))
	for i, k := range keys {
		if k.scheme == "" {
			return nil, errors.New("empty signing key")
		}
		signatures[i] = k.sign(signed)
	}
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {strings.Join(signatures, " ")},
	}, nil
}

func signedContent(id, timestamp string, body []byte) []byte {
	return append([]byte(id+"."+timestamp+"."), body...)
}
