package main

import (
	"context"
	"errors"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/migrations"
)

// openDatabase opens the configured database.
func openDatabase(ctx context.Context, c *config) (*store.DB, error) {
	if c.DatabaseURL != "" {
		return store.OpenPostgres(ctx, c.DatabaseURL, 20)
	}
	return store.OpenSQLite(ctx, c.Data)
}

// openKeys reads the keys in the database. With createSecret, it creates the secret
// that encrypts them if the database has no keys yet. If it has keys, only the
// existing secret can decrypt them.
func openKeys(ctx context.Context, c *config, db *store.DB, createSecret bool) (*keys.Keyring, error) {
	secret := []byte(c.SecretKey)
	if c.SecretKey == "" && c.DatabaseURL != "" {
		return nil, &usageError{errors.New("set secret_key or SECRET_KEY to random characters, such as the output of `openssl rand -base64 32`, and to the same in all processes: it encrypts the keys in the database")}
	}
	if c.SecretKey == "" {
		var err error
		if secret, err = readSecret(ctx, c.Data, db, createSecret); err != nil {
			return nil, err
		}
	}
	return keys.Open(ctx, db, secret)
}

func readSecret(ctx context.Context, dir string, db *store.DB, create bool) ([]byte, error) {
	if create {
		has, err := keys.Exist(ctx, db)
		if err != nil {
			return nil, err
		}
		if !has {
			return store.OpenSecret(dir)
		}
	}
	return store.ReadSecret(dir)
}

// prepare migrates the database, or returns an error if its schema is not up to date
// and migrations are disabled.
func prepare(ctx context.Context, c *config, db *store.DB) error {
	m, err := migrations.New(db.Write, db.Postgres())
	if err != nil {
		return err
	}
	if c.Migrate {
		return m.Up(ctx)
	}
	return m.Check(ctx)
}
