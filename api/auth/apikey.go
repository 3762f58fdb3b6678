package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	apiKeyPrefix     = "ck_"
	apiKeyHashPrefix = "sha256:"
)

// NewAPIKey generates an API key of 256 random bits and its hash for the
// configuration file. Clients send the key as "Authorization: Bearer ck_…". A
// plain SHA-256 hash is sufficient because a key of this length cannot be
// guessed by brute force.
func NewAPIKey() (key, hash string, err error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", "", fmt.Errorf("generate API key: %w", err)
	}
	key = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(key))
	return key, apiKeyHashPrefix + hex.EncodeToString(sum[:]), nil
}

// apiKeys maps the hash of each key to the name of its user. A lookup by hash
// leaks nothing through its timing: without the key, an attacker cannot choose
// the leading bytes of a hash.
type apiKeys map[[sha256.Size]byte]string

// add registers a key of the user by its hash, in the format of the
// configuration file.
func (k apiKeys) add(name, hash string) error {
	digits, ok := strings.CutPrefix(hash, apiKeyHashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return errors.New(`want "sha256:" and 64 hexadecimal digits`)
	}
	if other, taken := k[[sha256.Size]byte(sum)]; taken {
		return fmt.Errorf("the same key is listed for %q already", other)
	}
	k[[sha256.Size]byte(sum)] = name
	return nil
}

// user returns the name of the user that the key belongs to.
func (k apiKeys) user(key string) (string, bool) {
	name, ok := k[sha256.Sum256([]byte(key))]
	return name, ok
}
