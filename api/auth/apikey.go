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

// NewAPIKey makes an API key of 256 random bits, which a caller sends as
// "Authorization: Bearer ck_…", and its hash for the config file. A plain
// SHA-256 is enough: a key that long cannot be guessed, however fast one tries.
func NewAPIKey() (key, hash string, err error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return "", "", fmt.Errorf("make API key: %w", err)
	}
	key = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(key))
	return key, apiKeyHashPrefix + hex.EncodeToString(sum[:]), nil
}

// apiKeys maps the hash of each key to the name of its user. Looking a key up
// by its hash tells nothing by its timing: nobody can choose what a hash
// begins with without knowing the key.
type apiKeys map[[sha256.Size]byte]string

// add takes the hash of one of a user's keys as the config file has it.
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

// user returns the name of the user that a key belongs to.
func (k apiKeys) user(key string) (string, bool) {
	name, ok := k[sha256.Sum256([]byte(key))]
	return name, ok
}
