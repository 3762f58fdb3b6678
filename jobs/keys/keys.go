// Package keys makes what cannot be guessed or forged: ids of jobs, the tokens that grant access to
// one job, sealed cursors, and the keys that sign callbacks.
package keys

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify/webhook"
)

// Errors of the keys that a caller can act on.
var (
	// ErrNotFound means that the key does not exist.
	ErrNotFound = errors.New("no such key")
	// ErrLast means that the key is the server's only key, without which it could not sign.
	ErrLast = errors.New("the server's only key can't be revoked: rotate it")
	// ErrTooMany means that the owner already has [Max] keys.
	ErrTooMany = fmt.Errorf("there are %d keys already: revoke one first", Max)
)

const (
	// Max is the maximum number of active keys per owner and scheme.
	Max = 5
	// MaxGrace is the longest time that a replaced key may continue to sign.
	MaxGrace = 30 * 24 * time.Hour

	// tokenKey is the kind and the id of the key for tokens.
	tokenKey = "token"
	// macSize is the length of a MAC in bytes; 128 bits cannot be guessed.
	macSize = 16
	// keyHistory is how long an expired key is still listed.
	keyHistory = 7 * 24 * time.Hour
)

// A Keyring has the server's secrets and the keys that sign callbacks. They are stored in the
// database, so that all processes share them, and encrypted with a secret that is stored elsewhere.
type Keyring struct {
	db   *store.DB
	aead cipher.AEAD
	mac  []byte // key for the MACs of tokens and of Seal
}

// A Key describes a key that signs callbacks. It contains no secret.
type Key struct {
	ID        string      `json:"id"`
	Owner     string      `json:"-"` // "" for the server's own key
	Scheme    string      `json:"scheme" enum:"v1,v1a" doc:"v1: a secret that you share with the server. v1a: the server's own, for all."`
	PublicKey string      `json:"public_key,omitempty" doc:"whpk_…, of v1a."`
	CreatedAt store.Time  `json:"created_at" format:"date-time"`
	ExpiresAt *store.Time `json:"expires_at" format:"date-time" doc:"When it stops signing; null when that is not decided."`
}

// Open opens the keys in the database, and creates those that a server requires. The secret
// must have at least [store.MinSecret] bytes. Open fails if the keys were created with a different
// secret.
func Open(ctx context.Context, db *store.DB, secret []byte) (*Keyring, error) {
	if len(secret) < store.MinSecret {
		return nil, fmt.Errorf("the secret key has %d characters, want at least %d", len(secret), store.MinSecret)
	}
	derived, err := hkdf.Key(sha256.New, secret, nil, "coatcheck: keys in the database", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	k := &Keyring{db: db}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	fresh := make([]byte, sha256.Size)
	rand.Read(fresh) // never fails
	if err := k.insert(ctx, db.Write, Key{ID: tokenKey}, tokenKey, fresh); err != nil {
		return nil, err
	}
	var sealed string
	if err := db.Write.QueryRowContext(ctx,
		`SELECT secret FROM keys WHERE id = $1`, tokenKey).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read the server's key: %w", err)
	}
	if k.mac, err = k.decrypt(tokenKey, sealed); err != nil {
		return nil, err
	}
	signing, err := k.Signing(ctx, "")
	if err == nil && len(signing) == 0 {
		// A fixed id, so that only one of several processes that start at once creates it.
		err = k.insert(ctx, db.Write, Key{ID: webhook.V1a}, webhook.V1a, []byte(webhook.NewKey(webhook.V1a).Secret()))
	}
	return k, err
}

// insert stores a key unless a key with its id exists.
func (k *Keyring) insert(ctx context.Context, db store.Execer, key Key, kind string, secret []byte) error {
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce) // never fails
	// The id is authenticated too, so that a key cannot be swapped with another.
	sealed := base64.StdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, secret, []byte(key.ID)))
	if _, err := db.ExecContext(ctx, `INSERT INTO keys (id, owner, kind, secret, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		key.ID, key.Owner, kind, sealed, store.At(time.Now())); err != nil {
		return fmt.Errorf("store %s key: %w", kind, err)
	}
	return nil
}

func (k *Keyring) decrypt(id, sealed string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if n := k.aead.NonceSize(); err == nil && len(b) > n {
		var secret []byte
		if secret, err = k.aead.Open(nil, b[:n], b[n:], []byte(id)); err == nil {
			return secret, nil
		}
	}
	return nil, errors.New("the keys in the database can't be read with this secret key: they were created with another one")
}

// Exist reports whether the database contains keys, which can only be read with the secret that
// they were created with.
func Exist(ctx context.Context, db *store.DB) (has bool, err error) {
	if err := db.Read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys)`).Scan(&has); err != nil {
		return false, fmt.Errorf("find keys: %w", err)
	}
	return has, nil
}
