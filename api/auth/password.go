package auth

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // SHA-1 is secure in HMAC, and old configurations use it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// HashPassword returns a salted hash of the password for the configuration
// file. It is an argon2id string with the second recommended parameter set of
// RFC 9106, section 4: 64 MiB, three passes, four lanes. Hashing takes about a
// tenth of a second on two cores. HashPassword rejects passwords that a request
// cannot carry: empty ones, and ones with NUL or invalid UTF-8.
func HashPassword(password string) (string, error) {
	if password == "" || !validText(password) {
		return "", errors.New("the password is empty or contains NUL or invalid UTF-8")
	}
	const memory, passes, lanes = 64 << 10, 3, 4
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("generate salt: %w", err)
	}
	key := argon2.IDKey([]byte(password), salt, passes, memory, lanes, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// validText reports whether s is valid in a user name or a password. NUL is not
// allowed because it separates the two where they are hashed together.
func validText(s string) bool {
	return utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// A verifier reports whether password matches a hash.
type verifier func(password string) bool

// parseHash parses a hash of Werkzeug (pbkdf2 or scrypt), bcrypt or argon2id.
// It rejects parameters with which one verification would need more than 1 GiB
// or about 5 s. Its errors never contain the hash.
func parseHash(s string) (verifier, error) {
	method, _, _ := strings.Cut(strings.TrimPrefix(s, "$"), "$")
	method, _, _ = strings.Cut(method, ":")
	switch method {
	case "pbkdf2":
		return parsePBKDF2(s)
	case "scrypt":
		return parseScrypt(s)
	case "2a", "2b", "2y":
		return parseBcrypt(s)
	case "argon2id":
		return parseArgon2id(s)
	}
	return nil, errors.New("unknown kind of password hash")
}

// parsePBKDF2 parses "pbkdf2:sha256:rounds$salt$hex". The number of rounds is
// required: Werkzeug always writes it, and the default for a missing number
// differs between Werkzeug releases.
func parsePBKDF2(s string) (verifier, error) {
	params, salt, want, ok := cutWerkzeug(s, "pbkdf2:")
	name, digits, _ := strings.Cut(params, ":")
	rounds, isNumber := numbers(digits, ":", "")
	if !ok || !isNumber {
		return nil, errors.New("malformed pbkdf2 hash, want pbkdf2:digest:rounds$salt$hash")
	}
	digest, ok := map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[name]
	if !ok {
		return nil, errors.New("pbkdf2 hash with an unsupported digest, want sha1, sha256 or sha512")
	}
	if len(want) != digest().Size() {
		return nil, errors.New("malformed pbkdf2 hash, its length does not match its digest")
	}
	// RFC 8018, section 4.2, recommends at least 1,000 rounds.
	if rounds[0] < 1_000 || rounds[0] > 10_000_000 {
		return nil, errors.New("pbkdf2 hash with fewer than 1,000 or more than 10,000,000 rounds")
	}
	return func(password string) bool {
		got, err := pbkdf2.Key(digest, password, []byte(salt), int(rounds[0]), len(want))
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1
	}, nil
}

// parseScrypt parses "scrypt:N:r:p$salt$hex".
func parseScrypt(s string) (verifier, error) {
	params, salt, want, ok := cutWerkzeug(s, "scrypt:")
	cost, isNumber := numbers(params, ":", "", "", "")
	if !ok || !isNumber || len(want) != 64 {
		return nil, errors.New("malformed scrypt hash, want scrypt:N:r:p$salt$hash")
	}
	n, r, p := cost[0], cost[1], cost[2]
	// Memory is 128·N·r bytes and time grows with N·r·p. Dividing avoids
	// overflow of the products.
	const blocks, work = 1 << 23, 1 << 24
	if n < 1<<10 || n&(n-1) != 0 || r < 1 || p < 1 || r > blocks/n || p > work/n/r {
		return nil, errors.New("scrypt hash whose N is not a power of two of at least 1,024, or with N·r over 2²³ or N·r·p over 2²⁴")
	}
	return func(password string) bool {
		got, err := scrypt.Key([]byte(password), []byte(salt), int(n), int(r), int(p), len(want))
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1
	}, nil
}

// parseBcrypt parses "$2b$cost$" followed by 53 characters of salt and hash.
// The three prefixes are equivalent today. As in every implementation, only the
// first 72 bytes of a password are significant.
func parseBcrypt(s string) (verifier, error) {
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if len(s) != 60 || s[0] != '$' || s[3] != '$' || s[6] != '$' || strings.Trim(s[7:], alphabet) != "" {
		return nil, errors.New("malformed bcrypt hash, want $2b$cost$ and 53 characters")
	}
	cost, ok := numbers(s[4:6], "$", "")
	if !ok || cost[0] < 4 || cost[0] > 16 {
		return nil, errors.New("bcrypt hash with a cost that is not between 4 and 16")
	}
	return func(password string) bool {
		return bcrypt.CompareHashAndPassword([]byte(s), []byte(password)) == nil
	}, nil
}

// parseArgon2id parses the PHC string
// "$argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash".
func parseArgon2id(s string) (verifier, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[2] != "v=19" {
		return nil, errors.New("malformed argon2id hash, want $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	cost, ok := numbers(f[3], ",", "m=", "t=", "p=")
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(f[4])
	want, err2 := base64.RawStdEncoding.Strict().DecodeString(f[5])
	if !ok || err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(want) < 16 || len(want) > 64 {
		return nil, errors.New("malformed argon2id hash, want m=…,t=…,p=… and a salt and a hash of up to 64 bytes in base64 without padding")
	}
	memory, passes, lanes := cost[0], cost[1], cost[2]
	// RFC 9106, section 3.1: a lane has at least eight blocks.
	if passes < 1 || lanes < 1 || lanes > 255 || memory < 8*lanes || memory > 1<<20 || passes > 1<<23/memory {
		return nil, errors.New("argon2id hash with less than 8 KiB of memory per lane, more than 1 GiB of memory, or memory × passes over 8 GiB")
	}
	return func(password string) bool {
		got := argon2.IDKey([]byte(password), salt, passes, memory, uint8(lanes), uint32(len(want))) //nolint:gosec // checked above
		return subtle.ConstantTimeCompare(got, want) == 1
	}, nil
}

// cutWerkzeug splits "name:params$salt$hex" into its parts.
func cutWerkzeug(s, name string) (params, salt string, sum []byte, ok bool) {
	f := strings.Split(s, "$")
	if len(f) != 3 || f[1] == "" {
		return "", "", nil, false
	}
	params, ok = strings.CutPrefix(f[0], name)
	sum, err := hex.DecodeString(f[2])
	return params, f[1], sum, ok && err == nil
}

// numbers parses one number per prefix, as in "m=64,t=1".
func numbers(s, sep string, prefixes ...string) ([]uint32, bool) {
	parts := strings.Split(s, sep)
	if len(parts) != len(prefixes) {
		return nil, false
	}
	values := make([]uint32, len(parts))
	for i, prefix := range prefixes {
		digits, ok := strings.CutPrefix(parts[i], prefix)
		n, err := strconv.ParseUint(digits, 10, 31)
		if !ok || err != nil {
			return nil, false
		}
		values[i] = uint32(n)
	}
	return values, true
}
