package keys

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify/webhook"
)

// maxFirstKeys limits how many keys the server creates for an owner while earlier keys are still
// listed as revoked.
const maxFirstKeys = 20

// Signing returns the keys that sign callbacks to the owner: the shared secrets, newest first, then
// the server's own keys, whose public keys are published. It creates a secret for an owner that has
// none, so that every callback has both kinds of signature.
func (k *Keyring) Signing(ctx context.Context, owner string) ([]webhook.Key, error) {
	active := ` AND (expires_at IS NULL OR expires_at > ` + k.db.Now() + `)`
	_, keys, err := k.read(ctx, owner, active)
	if err != nil || owner == "" || slices.ContainsFunc(keys, func(key webhook.Key) bool { return key.Scheme() == webhook.V1 }) {
		return keys, err
	}
	return k.makeFirst(ctx, owner, active)
}

// makeFirst creates a key for an owner that has none, and returns the active keys. The key's id is
// derived from the owner, so that only one of several concurrent first callbacks creates a key,
// even across processes.
func (k *Keyring) makeFirst(ctx context.Context, owner, active string) (keys []webhook.Key, err error) {
	for n := range maxFirstKeys {
		sum := sha256.Sum256(fmt.Appendf(nil, "first key %d of %s", n, owner))
		key := Key{ID: "key_" + idEncoding.EncodeToString(sum[:16]), Owner: owner}
		if err := k.insert(ctx, k.db.Write, key, webhook.V1, []byte(webhook.NewKey(webhook.V1).Secret())); err != nil {
			return nil, err
		}
		_, keys, err = k.read(ctx, owner, active)
		if err != nil || slices.ContainsFunc(keys, func(key webhook.Key) bool { return key.Scheme() == webhook.V1 }) {
			return keys, err
		}
		// The key with this id has expired.
	}
	if _, _, err := k.Create(ctx, owner, nil); err != nil && !errors.Is(err, ErrTooMany) {
		return nil, err
	}
	_, keys, err = k.read(ctx, owner, active)
	return keys, err
}

// List returns the owner's keys and the server's own, including those that expired in the last
// week.
func (k *Keyring) List(ctx context.Context, owner string) ([]Key, error) {
	keys, _, err := k.read(ctx, owner, "")
	return keys, err
}

func (k *Keyring) read(ctx context.Context, owner, condition string) (keys []Key, signing []webhook.Key, err error) {
	rows, err := k.db.Read.QueryContext(ctx, `SELECT id, owner, kind, secret, created_at, expires_at FROM keys WHERE (kind = 'v1' AND owner = $1 OR kind = 'v1a' AND owner = '')`+condition+` ORDER BY kind, created_at DESC, id DESC`, owner)
	if err != nil {
		return nil, nil, fmt.Errorf("read signing keys: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var key Key
		var sealed string
		if err := rows.Scan(&key.ID, &key.Owner, &key.Scheme, &sealed, &key.CreatedAt, &key.ExpiresAt); err != nil {
			return nil, nil, fmt.Errorf("read signing keys: %w", err)
		}
		secret, err := k.decrypt(key.ID, sealed)
		if err != nil {
			return nil, nil, err
		}
		s, err := webhook.ParseKey(string(secret))
		if err != nil {
			return nil, nil, fmt.Errorf("read signing keys: %w", err)
		}
		key.PublicKey = s.PublicKey()
		keys, signing = append(keys, key), append(signing, s)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, signing, nil
}

// Create creates a key of the owner, or of the server if owner is "". It returns the secret, which
// is not available later. If grace is nil, the key signs in addition to the existing keys.
// Otherwise it replaces them, and they continue to sign for the grace period; 0 ends them now.
// Error: [ErrTooMany].
func (k *Keyring) Create(ctx context.Context, owner string, grace *time.Duration) (key Key, secret string, err error) {
	key = Key{Owner: owner, Scheme: webhook.V1, CreatedAt: store.At(time.Now())}
	if owner == "" {
		key.Scheme = webhook.V1a
	}
	made := webhook.NewKey(key.Scheme)
	key.PublicKey = made.PublicKey()
	if key.ID, err = NewID("key_"); err != nil {
		return Key{}, "", err
	}
	tx, err := k.db.Begin(ctx)
	if err != nil {
		return Key{}, "", fmt.Errorf("store key: %w", err)
	}
	defer tx.Rollback()
	if grace != nil {
		expiry := store.At(time.Now().Add(*grace))
		if _, err := tx.ExecContext(ctx, `UPDATE keys SET expires_at = $1 WHERE owner = $2 AND kind = $3 AND (expires_at IS NULL OR expires_at > $1)`, expiry, owner, key.Scheme); err != nil {
			return Key{}, "", fmt.Errorf("rotate keys: %w", err)
		}
	}
	var active int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM keys WHERE owner = $1 AND kind = $2 AND (expires_at IS NULL OR expires_at > `+k.db.Now()+`)`, owner, key.Scheme).Scan(&active); err != nil {
		return Key{}, "", fmt.Errorf("count keys: %w", err)
	}
	if active >= Max {
		return Key{}, "", ErrTooMany
	}
	if err := k.insert(ctx, tx, key, key.Scheme, []byte(made.Secret())); err != nil {
		return Key{}, "", err
	}
	if err := tx.Commit(); err != nil {
		return Key{}, "", fmt.Errorf("store key: %w", err)
	}
	return key, made.Secret(), nil
}

// Revoke ends a key of the owner, or of the server if owner is "", now. Errors: [ErrNotFound],
// [ErrLast].
func (k *Keyring) Revoke(ctx context.Context, owner, id string) error {
	now := store.At(time.Now())
	scheme, spare := webhook.V1, ""
	if owner == "" {
		scheme = webhook.V1a
		spare = ` AND EXISTS (SELECT 1 FROM keys other WHERE other.kind = 'v1a' AND other.id <> keys.id AND other.expires_at IS NULL)`
	}
	mine := ` FROM keys WHERE id = $1 AND owner = $2 AND kind = $3`
	var found int
	if err := k.db.Write.QueryRowContext(ctx, `SELECT count(*)`+mine, id, owner, scheme).Scan(&found); err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if found == 0 {
		return ErrNotFound
	}
	res, err := k.db.Write.ExecContext(ctx, `UPDATE keys SET expires_at = CASE WHEN expires_at < $4 THEN expires_at ELSE $4 END WHERE id = $1 AND owner = $2 AND kind = $3`+spare, id, owner, scheme, now)
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrLast)
	}
	return nil
}

// Public returns the server's public keys as JSON Web Keys. These verify the callbacks to all
// owners.
func (k *Keyring) Public(ctx context.Context) ([]json.RawMessage, error) {
	signing, err := k.Signing(ctx, "")
	public := make([]json.RawMessage, len(signing))
	for i, s := range signing {
		public[i] = s.JWK()
	}
	return public, err
}

// DeleteExpired deletes keys that expired more than keyHistory ago.
func (k *Keyring) DeleteExpired(ctx context.Context) error {
	if _, err := k.db.Write.ExecContext(ctx,
		`DELETE FROM keys WHERE expires_at < $1`, store.At(time.Now().Add(-keyHistory))); err != nil {
		return fmt.Errorf("delete expired keys: %w", err)
	}
	return nil
}
