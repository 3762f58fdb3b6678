package main

import (
	"context"
	"errors"

	"coatcheck/jobs"
	"coatcheck/migrations"
)

// openDatabase opens the database that the configuration names.
func openDatabase(ctx context.Context, c *config) (*jobs.Database, error) {
	if c.DatabaseURL != "" {
		return jobs.OpenPostgres(ctx, c.DatabaseURL, 20)
	}
	return jobs.OpenSQLite(ctx, c.Data)
}

// openKeys reads the keys in the database. Only a server that has none yet, as
// makeSecret says, makes a secret for them: another one would be of no use.
func openKeys(ctx context.Context, c *config, db *jobs.Database, makeSecret bool) (*jobs.Keys, error) {
	secret := []byte(c.SecretKey)
	if c.SecretKey == "" && c.DatabaseURL != "" {
		return nil, &usageError{errors.New("set secret_key or SECRET_KEY to random characters, such as `openssl rand -base64 32` prints, the same in all processes: the keys in the database are encrypted with it")}
	}
	if c.SecretKey == "" {
		var err error
		if secret, err = readSecret(ctx, c.Data, db, makeSecret); err != nil {
			return nil, err
		}
	}
	return jobs.OpenKeys(ctx, db, secret)
}

func readSecret(ctx context.Context, dir string, db *jobs.Database, makeIt bool) ([]byte, error) {
	if makeIt {
		has, err := db.HasKeys(ctx)
		if err != nil {
			return nil, err
		}
		if !has {
			return jobs.Secret(dir)
		}
	}
	return jobs.ReadSecret(dir)
}

// prepare brings the schema of the database up to date, or makes sure that it
// is.
func prepare(ctx context.Context, c *config, db *jobs.Database) error {
	m, err := migrations.New(db.SQL(), db.Postgres())
	if err != nil {
		return err
	}
	if c.Migrate {
		return m.Up(ctx)
	}
	return m.Check(ctx)
}
