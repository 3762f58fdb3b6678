package keys

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns prefix and 26 characters that sort by creation time (UUIDv7, RFC 9562, in
// Crockford's base 32).
func NewID(prefix string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("create id: %w", err)
	}
	return prefix + idEncoding.EncodeToString(id[:]), nil
}

// FirstID returns the lowest id that NewID could create at a time.
func FirstID(prefix string, at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(max(at.UnixMilli(), 0))<<16)
	return prefix + idEncoding.EncodeToString(id[:])
}

// ValidID reports whether id has the format of NewID.
func ValidID(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	_, err := idEncoding.DecodeString(rest)
	return ok && len(rest) == 26 && err == nil
}
